//! The client asks for a sign-in (RFC 8628 sections 3.1 and 3.2).

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_identity::device::{DeviceCode, EXPIRES_IN, Grant, UserCode};
use gatehouse_identity::fetch::Fetch;
use gatehouse_store::StoreError;
use gatehouse_store::device::NewDevice;
use serde_json::json;

use super::Portal;
use super::reply::{self, Refused};
use super::request::Asked;
use super::settings::{PublicUrl, Rules};
use super::throttle::network;

/// Sign-ins under way at once.
const MOST: u32 = 10_000;
/// How long we wait before there may be room.
const FULL: u32 = 60;
/// How often another code is drawn when one is in use already.
const DRAWS: usize = 3;

impl<F: Fetch> Portal<F> {
    /// Begins a device grant.
    pub(super) async fn authorize_device(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
    ) -> Result<Response<Bytes>, Refused> {
        let now = self.app.now();
        let from = network(asked.peer);
        self.throttles.begun.take(&from, now).map_err(Refused::TooMany)?;
        let form = asked.form()?;
        let surface =
            form.get("surface").map(|text| text.chars().filter(|c| !c.is_control()).take(64).collect());
        for _ in 0..DRAWS {
            let code = DeviceCode::generate(&self.app.random());
            let grant = Grant::<()>::new(code.hash(), UserCode::generate(&self.app.random()), now);
            let new = NewDevice {
                device: *grant.device.as_bytes(),
                user_code: grant.user_code.to_string(),
                poll_seconds: grant.interval,
                surface: Option::clone(&surface),
                client: asked.client(),
                peer: Some(asked.peer),
                created_at: now,
                expires_at: grant.expires_at,
            };
            match self.app.store.create_device(self.app.org, &new, MOST).await {
                Ok(true) => {}
                Ok(false) => return Err(Refused::TooMany(FULL)),
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            let page = url.at("/device");
            let mut answer = json!({
                "device_code": *code.reveal(),
                "user_code": new.user_code,
                "verification_uri": page,
                "verification_uri_complete": format!("{page}?user_code={}", new.user_code),
                "expires_in": EXPIRES_IN,
                "interval": grant.interval,
            });
            if let Some(notice) = &rules.notice {
                answer["login_notice"] = json!(notice);
            }
            return Ok(reply::json(&answer));
        }
        Err(Refused::Unavailable)
    }
}
