//! The smallest D-Bus client that can call an init: a socket, and messages made beforehand. What is measured is the init.

use std::io::{BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

const MANAGER: (&str, &str) = ("/com/ubuntu/Upstart", "com.ubuntu.Upstart0_6");

/// One connection.
pub(crate) struct Client {
    socket: UnixStream,
    input: BufReader<UnixStream>,
    serial: u32,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and authenticates.
    pub(crate) fn connect(address: &str) -> Self {
        let name = address.strip_prefix("unix:abstract=").unwrap();
        let mut socket = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        socket.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.windows(3).any(|three| three == b"OK ") || !answer.ends_with(b"\r\n") {
            let mut some = [0; 256];
            let length = socket.read(&mut some).unwrap();
            assert!(length > 0, "init hung up: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&some[..length]);
        }
        let input = BufReader::with_capacity(1 << 16, socket.try_clone().unwrap());
        Self { socket, input, serial: 0, buffer: vec![0; 1 << 16] }
    }

    /// Starts a job; the answer comes with [`Client::reply`].
    pub(crate) fn send_start(&mut self, job: &str, environment: &[String], wait: bool) {
        let path = format!("/com/ubuntu/Upstart/jobs/{job}");
        let mut body = Vec::new();
        put_strings(&mut body, environment);
        align(&mut body, 4);
        body.extend(u32::from(wait).to_le_bytes());
        self.send(&path, "com.ubuntu.Upstart0_6.Job", "Start", "asb", &body);
    }

    /// Starts a job and waits for the answer.
    pub(crate) fn start(&mut self, job: &str, environment: &[String], wait: bool) {
        self.send_start(job, environment, wait);
        self.reply();
    }

    /// Emits an event and waits for all that follows from it.
    pub(crate) fn emit(&mut self, name: &str) {
        let mut body = Vec::new();
        put_string(&mut body, name);
        put_strings(&mut body, &[]);
        align(&mut body, 4);
        body.extend(1_u32.to_le_bytes());
        self.send(MANAGER.0, MANAGER.1, "EmitEvent", "sasb", &body);
        self.reply();
    }

    /// Has init execute itself anew.
    pub(crate) fn restart(&mut self) {
        self.send(MANAGER.0, MANAGER.1, "Restart", "", &[]);
        self.reply();
    }

    /// A call that changes nothing, answered.
    pub(crate) fn ask(&mut self) {
        self.send(MANAGER.0, MANAGER.1, "GetAllJobs", "", &[]);
        self.reply();
    }

    fn send(&mut self, path: &str, interface: &str, member: &str, signature: &str, body: &[u8]) {
        self.serial += 1;
        let mut message = vec![b'l', 1, 0, 1];
        message.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        message.extend(self.serial.to_le_bytes());
        message.extend(0_u32.to_le_bytes());
        for (code, kind, value) in [(1, "o", path), (2, "s", interface), (3, "s", member), (8, "g", signature)] {
            if value.is_empty() {
                continue;
            }
            align(&mut message, 8);
            message.extend([code, 1, kind.as_bytes()[0], 0]);
            if kind == "g" {
                message.push(u8::try_from(value.len()).unwrap());
                message.extend(value.bytes().chain([0]));
            } else {
                put_string(&mut message, value);
            }
        }
        let fields = u32::try_from(message.len() - 16).unwrap();
        message[12..16].copy_from_slice(&fields.to_le_bytes());
        align(&mut message, 8);
        message.extend_from_slice(body);
        self.socket.write_all(&message).unwrap();
    }

    /// Waits for the next reply, whichever call it answers; signals before it are passed over.
    pub(crate) fn reply(&mut self) {
        loop {
            self.input.read_exact(&mut self.buffer[..16]).unwrap();
            let word = |at: usize| u32::from_le_bytes(self.buffer[at..at + 4].try_into().unwrap()) as usize;
            let (kind, body, fields) = (self.buffer[1], word(4), word(12));
            let rest = fields.next_multiple_of(8) + body;
            if self.buffer.len() < rest {
                self.buffer.resize(rest, 0);
            }
            self.input.read_exact(&mut self.buffer[..rest]).unwrap();
            match kind {
                2 => return,
                3 => panic!("init refused: {}", String::from_utf8_lossy(&self.buffer[..rest])),
                _ => {}
            }
        }
    }
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    bytes.extend(text.bytes().chain([0]));
}

fn put_strings(bytes: &mut Vec<u8>, texts: &[String]) {
    align(bytes, 4);
    let at = bytes.len();
    bytes.extend([0; 4]);
    let begin = bytes.len();
    texts.iter().for_each(|text| put_string(bytes, text));
    let length = u32::try_from(bytes.len() - begin).unwrap();
    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
}
