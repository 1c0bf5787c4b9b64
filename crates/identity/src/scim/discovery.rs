//! What the server says of itself: `ServiceProviderConfig`, `ResourceTypes` and `Schemas` (RFC 7644, section 4).

use serde_json::{Value, json};

use super::list::{ListResponse, MAX_RESULTS};
use super::schema::{ENTERPRISE_SCHEMA, GROUP, GROUP_SCHEMA, ResourceType, Schema, USER, USER_SCHEMA};

const CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// All kinds of resource.
pub static RESOURCE_TYPES: [&ResourceType; 2] = [&USER, &GROUP];
/// All schemas.
pub static SCHEMAS: [&Schema; 3] = [&USER_SCHEMA, &ENTERPRISE_SCHEMA, &GROUP_SCHEMA];

/// What the server can do. `base` is its configured address up to and without the last `/`.
pub fn service_provider_config(base: &str) -> Value {
    json!({
        "schemas": [CONFIG_SCHEMA],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MAX_RESULTS },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A provisioning token in the Authorization header",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

/// All kinds of resource.
pub fn resource_types(base: &str) -> Value {
    ListResponse::of_all(RESOURCE_TYPES.map(|kind| resource_type(kind, base))).document()
}

/// The kind of resource of this name, if there is one.
pub fn find_resource_type(name: &str, base: &str) -> Option<Value> {
    RESOURCE_TYPES.iter().find(|kind| kind.name == name).map(|kind| resource_type(kind, base))
}

/// All schemas.
pub fn schemas(base: &str) -> Value {
    ListResponse::of_all(SCHEMAS.map(|schema| schema_document(schema, base))).document()
}

/// The schema of this URN, whatever its case, if there is one.
pub fn find_schema(urn: &str, base: &str) -> Option<Value> {
    SCHEMAS
        .iter()
        .find(|schema| schema.id.eq_ignore_ascii_case(urn))
        .map(|schema| schema_document(schema, base))
}

fn resource_type(kind: &ResourceType, base: &str) -> Value {
    let extensions: Vec<Value> =
        kind.extensions.iter().map(|schema| json!({ "schema": schema.id, "required": false })).collect();
    json!({
        "schemas": [RESOURCE_TYPE_SCHEMA],
        "id": kind.name,
        "name": kind.name,
        "endpoint": kind.endpoint,
        "description": kind.description,
        "schema": kind.core.id,
        "schemaExtensions": extensions,
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base}/ResourceTypes/{}", kind.name),
        },
    })
}

fn schema_document(schema: &Schema, base: &str) -> Value {
    let attributes: Vec<Value> = schema.attributes.iter().map(super::schema::Attribute::document).collect();
    json!({
        "schemas": [SCHEMA_SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": attributes,
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", schema.id) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://gatehouse.example.com/scim/v2";

    #[test]
    fn says_honestly_what_it_does_not_do() {
        let config = service_provider_config(BASE);
        assert_eq!(config["bulk"]["supported"], false);
        assert_eq!(config["changePassword"]["supported"], false);
        assert_eq!(config["meta"]["location"], "https://gatehouse.example.com/scim/v2/ServiceProviderConfig");
    }

    #[test]
    fn lists_hold_what_can_be_fetched_alone() {
        let (types, schemas) = (resource_types(BASE), schemas(BASE));
        assert_eq!((&types["totalResults"], &schemas["totalResults"]), (&json!(2), &json!(3)));
        for kind in types["Resources"].as_array().unwrap() {
            assert_eq!(find_resource_type(kind["name"].as_str().unwrap(), BASE).as_ref(), Some(kind));
            assert!(find_schema(kind["schema"].as_str().unwrap(), BASE).is_some());
        }
        for schema in schemas["Resources"].as_array().unwrap() {
            assert_eq!(
                find_schema(&schema["id"].as_str().unwrap().to_uppercase(), BASE).as_ref(),
                Some(schema)
            );
        }
        assert_eq!(find_schema("urn:example:unknown", BASE), None);
        assert_eq!(find_resource_type("Device", BASE), None);
    }

    #[test]
    fn attributes_tell_their_characteristics() {
        let user = find_schema(USER_SCHEMA.id, BASE).unwrap();
        let find = |name: &str| {
            user["attributes"]
                .as_array()
                .unwrap()
                .iter()
                .find(|a| a["name"] == name)
                .cloned()
                .unwrap_or_default()
        };
        assert_eq!(
            find("userName"),
            json!({
                "name": "userName", "type": "string", "multiValued": false,
                "description": "The name by which the directory knows the person; their sign-in name",
                "required": true, "caseExact": false, "mutability": "readWrite", "returned": "default",
                "uniqueness": "server",
            })
        );
        assert_eq!(find("emails")["subAttributes"][2]["canonicalValues"], json!(["work", "home", "other"]));
        assert_eq!(find("groups")["mutability"], "readOnly");
        assert_eq!(find("password"), Value::Null, "nothing is offered that is not taken");
    }
}
