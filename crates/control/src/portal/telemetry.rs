//! `/v1/metrics`, `/v1/logs` and `/v1/traces`: what clients say of their own use.

use axum::body::Bytes;
use axum::http::{Response, header};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::telemetry::Signal;
use gatehouse_identity::fetch::Fetch;
use tonic::Status;

use super::Portal;
use super::reply::Refused;
use super::request::Asked;
use super::settings::Rules;
use crate::telemetry::{Came, Form, Intake};

impl<F: Fetch> Portal<F> {
    /// Counts a request of telemetry.
    pub(super) async fn telemetry(
        &self,
        rules: &Rules,
        signal: Signal,
        asked: &Asked,
    ) -> Result<Response<Bytes>, Refused> {
        let whose = asked.principal.as_ref().ok_or(Refused::Unavailable)?;
        let came = Came {
            signal,
            content_type: asked.header(header::CONTENT_TYPE).unwrap_or_default(),
            packing: asked.header(header::CONTENT_ENCODING),
            body: &asked.body,
            whose,
        };
        Ok(self.intake.take(&self.app, &rules.telemetry, came).await)
    }

    /// Counts a request that came by gRPC. `body` is the message, unpacked.
    pub(crate) async fn telemetry_by_grpc(
        &self,
        signal: Signal,
        body: &Bytes,
        whose: &Principal,
    ) -> Result<Bytes, Status> {
        let content_type = Form::Protobuf.media_type();
        let came = Came { signal, content_type, packing: None, body, whose };
        self.intake.take_grpc(&self.app, &self.rules().telemetry, &came).await
    }

    /// What takes telemetry in.
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Writes what clients say of their use. For a job; never ends.
    pub async fn write_telemetry(&self) {
        self.intake.write(&self.app.store, self.app.org).await;
    }

    /// Removes what is older than it is kept. For a job.
    ///
    /// # Errors
    /// The database.
    pub async fn clear_telemetry(&self) -> Result<(), gatehouse_store::StoreError> {
        let kept = self.rules().telemetry.events_ms;
        self.app.store.clear_reports(self.app.org, kept, self.app.now()).await.map(drop)
    }
}
