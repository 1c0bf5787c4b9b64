//! Where the clouds are, and how their paths are made.

use super::Kind;

/// The service's address in a region; none for a kind whose address must be given.
pub fn base_url(kind: Kind, region: &str) -> Option<String> {
    let china = region.starts_with("cn-");
    match kind {
        Kind::Bedrock => {
            let end = if china { "amazonaws.com.cn" } else { "amazonaws.com" };
            Some(format!("https://bedrock-runtime.{region}.{end}"))
        }
        Kind::BedrockMantle => Some(format!("https://bedrock-mantle.{region}.api.aws/anthropic")),
        Kind::ClaudePlatformAws => Some(format!("https://aws-external-anthropic.{region}.api.aws")),
        Kind::Vertex => Some(match region {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            // Multi-regions.
            "us" | "eu" => format!("https://aiplatform.{region}.rep.googleapis.com"),
            region => format!("https://{region}-aiplatform.googleapis.com"),
        }),
        Kind::Anthropic => Some("https://api.anthropic.com".to_owned()),
        Kind::Foundry => None,
    }
}

/// `InvokeModel`, `InvokeModelWithResponseStream` or `CountTokens` of a model.
pub(super) fn invoke(model: &str, act: &str) -> String {
    let mut path = String::with_capacity(model.len() + 48);
    path.push_str("/model/");
    encode(model, "", &mut path);
    path.push('/');
    path.push_str(act);
    path
}

/// `rawPredict` or `streamRawPredict` of a model.
pub(super) fn predict(project: &str, location: &str, model: &str, act: &str) -> String {
    let mut path = String::with_capacity(project.len() + location.len() + model.len() + 96);
    path.push_str("/v1/projects/");
    // `example.com:name` is a project's name, and `@` is part of models' names.
    encode(project, ":", &mut path);
    path.push_str("/locations/");
    encode(location, "", &mut path);
    path.push_str("/publishers/anthropic/models/");
    encode(model, "@", &mut path);
    path.push(':');
    path.push_str(act);
    path
}

/// One segment of a path: what is neither unreserved (RFC 3986, section 2.3) nor among `also` is encoded.
fn encode(segment: &str, also: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Whether a model's name can be part of a path: no name of nothing but dots, which would lead elsewhere.
pub(super) fn is_nameable(model: &str) -> bool {
    model.bytes().any(|byte| byte.is_ascii_alphanumeric()) && !model.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_one_segment() {
        for (model, path) in [
            ("anthropic.claude-opus-5-5", "/model/anthropic.claude-opus-5-5/invoke"),
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab1",
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fab1/invoke",
            ),
            ("a/../b?x=1#y", "/model/a%2F..%2Fb%3Fx%3D1%23y/invoke"),
            ("é %", "/model/%C3%A9%20%25/invoke"),
        ] {
            assert_eq!(invoke(model, "invoke"), path);
        }
        assert_eq!(
            predict("example.com:p-1", "us-east5", "claude-sonnet-4-5@20250929", "rawPredict"),
            "/v1/projects/example.com:p-1/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict"
        );
        assert_eq!(
            predict("p", "global", "x:predict", "rawPredict"),
            "/v1/projects/p/locations/global/publishers/anthropic/models/x%3Apredict:rawPredict"
        );
        for bad in ["", ".", "..", "...", "/", "a\nb"] {
            assert!(!is_nameable(bad), "{bad:?}");
        }
    }

    #[test]
    fn every_region_has_its_address() {
        for (kind, region, expected) in [
            (Kind::Bedrock, "us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
            (Kind::Bedrock, "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
            (Kind::BedrockMantle, "eu-west-1", "https://bedrock-mantle.eu-west-1.api.aws/anthropic"),
            (Kind::ClaudePlatformAws, "us-east-1", "https://aws-external-anthropic.us-east-1.api.aws"),
            (Kind::Vertex, "global", "https://aiplatform.googleapis.com"),
            (Kind::Vertex, "eu", "https://aiplatform.eu.rep.googleapis.com"),
            (Kind::Vertex, "us-east5", "https://us-east5-aiplatform.googleapis.com"),
        ] {
            assert_eq!(base_url(kind, region).as_deref(), Some(expected));
        }
        assert_eq!(base_url(Kind::Foundry, "x"), None);
    }
}
