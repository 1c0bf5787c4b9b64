//! A fake identity provider for tests: answers requests from memory, and remembers them.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::fetch::{Fetch, FetchError, HttpRequest, HttpResponse};
use crate::secret::Secret;

/// A status and a body, or what goes wrong.
type Answer = Result<(u16, Vec<u8>), FetchError>;

/// Answers by address.
#[derive(Default)]
pub(crate) struct FakeNet {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<HttpRequest>>,
}

impl FakeNet {
    pub(crate) fn answer(&self, url: &str, status: u16, body: &Value) {
        self.answer_bytes(url, status, body.to_string().into_bytes());
    }

    pub(crate) fn answer_bytes(&self, url: &str, status: u16, body: Vec<u8>) {
        self.answers.lock().unwrap().insert(url.to_owned(), Ok((status, body)));
    }

    pub(crate) fn fail(&self, url: &str) {
        self.answers.lock().unwrap().insert(url.to_owned(), Err(FetchError::TimedOut));
    }

    /// How often an address was asked.
    pub(crate) fn count(&self, url: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|request| request.url.as_str() == url).count()
    }

    /// The form of the last request to an address, and its `Authorization`.
    pub(crate) fn last(&self, url: &str) -> (Option<String>, Option<String>) {
        let asked = self.asked.lock().unwrap();
        let request = asked.iter().rev().find(|request| request.url.as_str() == url).expect("was asked");
        let text = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose_text().unwrap().to_owned());
        (text(&request.form), text(&request.authorization))
    }
}

impl Fetch for FakeNet {
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        // Lets other tasks in, as a real request would.
        tokio::task::yield_now().await;
        let answer = self.answers.lock().unwrap().get(request.url.as_str()).cloned();
        let limit = request.max_bytes;
        self.asked.lock().unwrap().push(request);
        let (status, body) =
            answer.unwrap_or_else(|| Err(FetchError::Unreachable("nothing there".to_owned())))?;
        if body.len() > limit {
            return Err(FetchError::TooLong(limit));
        }
        Ok(HttpResponse { status, body: Secret::new(body) })
    }
}
