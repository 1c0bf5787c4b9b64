//! Logging: human lines on a terminal, JSON elsewhere, with a filter that can be changed while running.

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config::{Log, LogFormat};
use crate::export::Tap;

/// A way to change what is logged.
#[derive(Clone)]
pub(crate) struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Where events are taken from for a collector.
    pub(crate) tap: Tap,
}

/// Why logging cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The filter does not parse.
    #[error("cannot use the log filter `{0}`: {1}")]
    Filter(String, String),
    /// There is a logger already, or it has gone.
    #[error("cannot set up logging: {0}")]
    Setup(String),
}

/// Begins to log on standard error. To be called once.
pub(crate) fn start(log: &Log, on_terminal: bool) -> Result<LogControl, LogError> {
    let (filter, handle) = reload::Layer::new(filter(&log.filter)?);
    let human = match log.format {
        LogFormat::Auto => on_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = if human {
        lines.with_ansi(on_terminal).with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    let tap = Tap::default();
    let registry = tracing_subscriber::registry().with(filter).with(lines).with(tap.clone());
    registry.try_init().map_err(|error| LogError::Setup(error.to_string()))?;
    Ok(LogControl { filter: handle, tap })
}

impl LogControl {
    /// Changes what is logged from now on.
    pub(crate) fn set_filter(&self, text: &str) -> Result<(), LogError> {
        self.filter.reload(filter(text)?).map_err(|error| LogError::Setup(error.to_string()))
    }
}

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(text).map_err(|error| LogError::Filter(text.to_owned(), error.to_string()))
}
