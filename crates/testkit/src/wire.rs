//! A wire to a server: it can be cut, go silent, and lead elsewhere, as an address that follows a server does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Whoever connects to its near end is connected to its far end.
pub struct Wire {
    /// Its near end: `127.0.0.1:port`, or the address that it was made on.
    pub address: String,
    way: Arc<Way>,
}

struct Way {
    far: Mutex<String>,
    /// Who comes is turned away.
    cut: AtomicBool,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    open: Vec<Line>,
    /// Who comes hears nothing.
    silent: bool,
    /// Those that nothing comes through any more. They are kept so that nobody hears of an end.
    dead: Vec<TcpStream>,
}

struct Line {
    ends: [TcpStream; 2],
    silent: Arc<AtomicBool>,
}

impl Wire {
    /// To this `host:port`.
    ///
    /// # Panics
    /// When there is no port.
    pub fn to(far: &str) -> Self {
        Self::between("127.0.0.1", far)
    }

    /// From any port of this address to this `host:port`.
    ///
    /// # Panics
    /// When there is no port.
    pub fn between(near: &str, far: &str) -> Self {
        let listener = TcpListener::bind((near, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let way = Arc::new(Way {
            far: Mutex::new(far.to_owned()),
            cut: AtomicBool::new(false),
            lines: Mutex::default(),
        });
        let kept = Arc::clone(&way);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                kept.join(near);
            }
        });
        Self { address, way }
    }

    /// Cuts it: whoever is connected through it hears that it has ended, and nobody else comes through.
    ///
    /// # Panics
    /// Never, unless a thread has panicked.
    pub fn cut(&self) {
        self.way.cut.store(true, Ordering::SeqCst);
        let mut lines = self.way.lines.lock().unwrap();
        for end in lines.open.drain(..).flat_map(|line| line.ends) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Mends it.
    pub fn mend(&self) {
        self.way.cut.store(false, Ordering::SeqCst);
    }

    /// Lets nothing come through any more, without a word to anybody: who is connected through it hears nothing, for ever; who
    /// connects hears nothing either.
    ///
    /// # Panics
    /// Never, unless a thread has panicked.
    pub fn silence(&self) {
        let mut lines = self.way.lines.lock().unwrap();
        lines.silent = true;
        let open: Vec<Line> = lines.open.drain(..).collect();
        for line in open {
            line.silent.store(true, Ordering::SeqCst);
            lines.dead.extend(line.ends);
        }
    }

    /// Leads whoever connects from now on to this `host:port`. Those who are connected already stay as they are.
    ///
    /// # Panics
    /// Never, unless a thread has panicked.
    pub fn lead(&self, far: &str) {
        far.clone_into(&mut self.way.far.lock().unwrap());
        self.way.lines.lock().unwrap().silent = false;
    }
}

impl Way {
    /// Joins who has come with the far end.
    fn join(&self, near: TcpStream) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let mut lines = self.lines.lock().unwrap();
        if lines.silent {
            lines.dead.push(near);
            return;
        }
        drop(lines);
        let far = self.far.lock().unwrap().clone();
        let Ok(there) = TcpStream::connect(&far) else { return };
        lines = self.lines.lock().unwrap();
        // Cut while it was connected: whoever cuts says so first, and then looks for lines.
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        if lines.silent {
            lines.dead.extend([near, there]);
            return;
        }
        let silent = Arc::new(AtomicBool::new(false));
        let ends = || [near.try_clone().unwrap(), there.try_clone().unwrap()];
        lines.open.push(Line { ends: ends(), silent: Arc::clone(&silent) });
        let [other_near, other_there] = ends();
        drop(lines);
        pump(other_near, other_there, Arc::clone(&silent));
        pump(there, near, silent);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, silent: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        loop {
            let read = from.read(&mut bytes).unwrap_or(0);
            if silent.load(Ordering::SeqCst) {
                return;
            }
            if read == 0 || to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        if !silent.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}
