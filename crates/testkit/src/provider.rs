//! A model provider that does what a script says: any bytes, any pause, any end.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http::find;
use crate::wait;

/// A request as the provider saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and target.
    pub line: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl Seen {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// One act of a script.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends these bytes as they are.
    Send(Vec<u8>),
    /// Does nothing for a time.
    Pause(Duration),
    /// Waits until the test calls [`FakeProvider::release`].
    Hold,
    /// Closes the connection in good order.
    Close,
    /// Does not answer until the client has gone.
    Hang,
}

/// What the provider does with a request.
pub type Script = dyn Fn(&Seen) -> Vec<Act> + Send + Sync;

/// A scripted provider, listening on loopback.
pub struct FakeProvider {
    /// `http://127.0.0.1:port`.
    pub url: String,
    state: Arc<State>,
}

struct State {
    script: Mutex<Arc<Script>>,
    seen: Mutex<VecDeque<Seen>>,
    released: Mutex<usize>,
    gone: Mutex<usize>,
    peers: Mutex<Vec<IpAddr>>,
}

/// The credential that the provider expects to see.
pub const UPSTREAM_KEY: &str = "sk-upstream-0123456789";

impl FakeProvider {
    /// Starts one that answers every request by this script.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            seen: Mutex::default(),
            released: Mutex::default(),
            gone: Mutex::default(),
            peers: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || converse(stream, &state));
            }
        });
        Self { url, state }
    }

    /// Changes the script.
    pub fn now(&self, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) {
        *self.state.script.lock().unwrap() = Arc::new(script);
    }

    /// The next request not yet looked at; waits for it.
    pub fn seen(&self) -> Seen {
        wait::until("a request at the provider", || self.state.seen.lock().unwrap().pop_front())
    }

    /// How many requests have not been looked at.
    pub fn unseen(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Where all requests so far came from, in their order.
    pub fn peers(&self) -> Vec<String> {
        self.state.peers.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Lets one [`Act::Hold`] go on.
    pub fn release(&self) {
        *self.state.released.lock().unwrap() += 1;
    }

    /// Waits until so many connections have been closed by the other side.
    pub fn wait_gone(&self, count: usize) {
        wait::until("the gateway to leave the provider", || {
            (*self.state.gone.lock().unwrap() >= count).then_some(())
        });
    }
}

fn converse(mut stream: TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    let mut unread = Vec::new();
    let Ok(peer) = stream.peer_addr() else { return };
    while let Some(seen) = read_request(&mut stream, &mut unread) {
        let script = Arc::clone(&state.script.lock().unwrap());
        let acts = script(&seen);
        state.peers.lock().unwrap().push(peer.ip());
        state.seen.lock().unwrap().push_back(seen);
        for act in acts {
            let gone = match act {
                Act::Send(bytes) => stream.write_all(&bytes).is_err(),
                Act::Pause(time) => {
                    pause(time);
                    false
                }
                Act::Hold => {
                    hold(state);
                    false
                }
                Act::Close => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
                Act::Hang => {
                    let mut rest = [0; 1];
                    let _ = stream.read(&mut rest);
                    true
                }
            };
            if gone {
                *state.gone.lock().unwrap() += 1;
                return;
            }
        }
    }
    *state.gone.lock().unwrap() += 1;
}

#[expect(clippy::disallowed_methods, reason = "the script says to pause: it plays a slow provider")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn hold(state: &State) {
    wait::until("the test to release the provider", || {
        let mut released = state.released.lock().unwrap();
        (*released > 0).then(|| *released -= 1)
    });
}

fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = find(unread, b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, unread)?;
    };
    let head = String::from_utf8(unread.drain(..end).collect()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let length =
        headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        more(stream, unread)?;
    }
    Some(Seen { line, headers, body: unread.drain(..length).collect() })
}

fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut piece = vec![0; 64 * 1024];
    let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
    unread.extend_from_slice(&piece[..n]);
    Some(())
}
