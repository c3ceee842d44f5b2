//! The SASL exchange that comes before the first message (D-Bus specification, "Authentication Protocol"), for both sides.
//! Pure: bytes in, bytes out. Knows one mechanism, EXTERNAL: the kernel has said who the other side is.

/// The longest line of the exchange, in bytes.
const LINE_BYTES: usize = 1024;
/// So many refused lines, and the other side is not worth waiting for.
const REFUSALS: u32 = 8;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More bytes are needed.
    Going,
    /// Messages follow.
    Done,
    /// The other side cannot or may not.
    Failed,
}

/// The server's side.
#[derive(Debug)]
pub(super) struct Server {
    uid: u32,
    stage: Stage,
    refusals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The NUL byte has not come.
    Silent,
    WaitingForAuth,
    WaitingForData,
    WaitingForBegin,
}

impl Server {
    /// For a client that the kernel says is this user.
    pub(super) fn new(uid: u32) -> Self {
        Self { uid, stage: Stage::Silent, refusals: 0 }
    }

    /// Whether the client was told that it is who it says it is.
    pub(super) fn has_accepted(&self) -> bool {
        self.stage == Stage::WaitingForBegin
    }

    /// Takes what has come; tells how many bytes of it belong to the exchange and were dealt with, and what to answer.
    pub(super) fn feed(&mut self, bytes: &[u8], guid: &str, answer: &mut Vec<u8>) -> (usize, Progress) {
        let mut used = 0;
        if self.stage == Stage::Silent {
            match bytes.first() {
                None => return (0, Progress::Going),
                Some(0) => {
                    used = 1;
                    self.stage = Stage::WaitingForAuth;
                }
                Some(_) => return (0, Progress::Failed),
            }
        }
        while let Some(length) = line_end(&bytes[used..]) {
            let line = &bytes[used..used + length];
            used += length + 2;
            if length > LINE_BYTES {
                return (used, Progress::Failed);
            }
            match self.line(line, guid, answer) {
                // Whether lines come one by one or all at once makes no difference.
                Progress::Going if self.refusals > REFUSALS => return (used, Progress::Failed),
                Progress::Going => {}
                other => return (used, other),
            }
        }
        // One byte more may be the first half of its end.
        let is_too_long = bytes.len() - used > LINE_BYTES + 1;
        (used, if is_too_long { Progress::Failed } else { Progress::Going })
    }

    fn line(&mut self, line: &[u8], guid: &str, answer: &mut Vec<u8>) -> Progress {
        let Ok(line) = std::str::from_utf8(line) else { return Progress::Failed };
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (command, self.stage) {
            ("AUTH", Stage::WaitingForAuth) => {
                let (mechanism, initial) = rest.split_once(' ').map_or((rest, None), |(one, two)| (one, Some(two)));
                match (mechanism, initial) {
                    ("EXTERNAL", Some(identity)) => self.check(identity, guid, answer),
                    ("EXTERNAL", None) => {
                        self.stage = Stage::WaitingForData;
                        answer.extend_from_slice(b"DATA\r\n");
                    }
                    _ => self.refuse(answer),
                }
            }
            ("DATA", Stage::WaitingForData) => self.check(rest, guid, answer),
            ("NEGOTIATE_UNIX_FD", Stage::WaitingForBegin) => answer.extend_from_slice(b"AGREE_UNIX_FD\r\n"),
            ("BEGIN", Stage::WaitingForBegin) => return Progress::Done,
            ("BEGIN", _) => return Progress::Failed,
            ("CANCEL" | "ERROR", _) => self.refuse(answer),
            _ => {
                self.refusals += 1;
                answer.extend_from_slice(b"ERROR \"Unknown command\"\r\n");
            }
        }
        Progress::Going
    }

    /// The identity is the uid in decimal, in hex; or nothing, for whoever the kernel says.
    fn check(&mut self, identity: &str, guid: &str, answer: &mut Vec<u8>) {
        let identity = identity.trim();
        if identity.is_empty() || identity.eq_ignore_ascii_case(&hex(self.uid.to_string().as_bytes())) {
            self.stage = Stage::WaitingForBegin;
            answer.extend_from_slice(format!("OK {guid}\r\n").as_bytes());
        } else {
            self.refuse(answer);
        }
    }

    fn refuse(&mut self, answer: &mut Vec<u8>) {
        self.refusals += 1;
        self.stage = Stage::WaitingForAuth;
        answer.extend_from_slice(b"REJECTED EXTERNAL\r\n");
    }
}

/// The client's side, towards a bus.
#[derive(Debug)]
pub(super) struct Client {
    is_accepted: bool,
}

impl Client {
    /// Also makes what to send first.
    pub(super) fn new(uid: u32) -> (Self, Vec<u8>) {
        let hello = format!("\0AUTH EXTERNAL {}\r\n", hex(uid.to_string().as_bytes()));
        (Self { is_accepted: false }, hello.into_bytes())
    }

    /// Takes what has come, as [`Server::feed`].
    pub(super) fn feed(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> (usize, Progress) {
        let mut used = 0;
        while let Some(length) = line_end(&bytes[used..]) {
            let line = &bytes[used..used + length];
            used += length + 2;
            let command = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            match (command, self.is_accepted) {
                (b"OK", false) => {
                    self.is_accepted = true;
                    answer.extend_from_slice(b"NEGOTIATE_UNIX_FD\r\n");
                }
                // Without descriptors only EmitEventWithFile is out of reach.
                (b"AGREE_UNIX_FD" | b"ERROR", true) => {
                    answer.extend_from_slice(b"BEGIN\r\n");
                    return (used, Progress::Done);
                }
                _ => return (used, Progress::Failed),
            }
        }
        (used, if bytes.len() - used > LINE_BYTES { Progress::Failed } else { Progress::Going })
    }
}

/// Length of the first line without its end, if it is complete.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUID: &str = "0123456789abcdef0123456789abcdef";

    fn talk(uid: u32, text: &str) -> (usize, Progress, String) {
        let mut answer = Vec::new();
        let (used, progress) = Server::new(uid).feed(text.as_bytes(), GUID, &mut answer);
        (used, progress, String::from_utf8(answer).unwrap())
    }

    #[test]
    fn every_client_library_gets_in() {
        let ok = format!("OK {GUID}\r\n");
        // libdbus, GDBus
        let (_, progress, answer) = talk(1000, "\0AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
        assert_eq!((progress, answer), (Progress::Done, format!("{ok}AGREE_UNIX_FD\r\n")));
        // sd-bus, zbus: no identity
        let (_, progress, answer) = talk(5, "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
        assert_eq!((progress, answer), (Progress::Done, format!("DATA\r\n{ok}")));
        // asks what there is, tries another first
        let (_, progress, answer) =
            talk(5, "\0AUTH\r\nAUTH DBUS_COOKIE_SHA1 30\r\nAUTH EXTERNAL 35\r\nCANCEL\r\nAUTH EXTERNAL \r\nBEGIN\r\n");
        assert_eq!(progress, Progress::Done);
        let refused = "REJECTED EXTERNAL\r\n";
        assert_eq!(answer, format!("{refused}{refused}{ok}{refused}{ok}"));
    }

    #[test]
    fn nobody_gets_in_as_somebody_else() {
        let (_, progress, answer) = talk(1000, "\0AUTH EXTERNAL 30\r\n");
        assert_eq!((progress, answer.as_str()), (Progress::Going, "REJECTED EXTERNAL\r\n"));
        assert_eq!(talk(1000, "\0AUTH EXTERNAL 30\r\nBEGIN\r\n").1, Progress::Failed);
        assert_eq!(talk(1000, "\0BEGIN\r\n").1, Progress::Failed);
        assert_eq!(talk(1000, "AUTH EXTERNAL 31303030\r\n").1, Progress::Failed);
    }

    #[test]
    fn what_follows_begin_is_left_alone() {
        let text = "\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
        let (used, progress, _) = talk(0, &format!("{text}l\u{1}rest\r\n"));
        assert_eq!((used, progress), (text.len(), Progress::Done));
    }

    #[test]
    fn endless_talk_is_cut_off() {
        assert_eq!(talk(0, &format!("\0{}", "x".repeat(2000))).1, Progress::Failed);
        assert_eq!(talk(0, &format!("\0{}", "AUTH\r\n".repeat(20))).1, Progress::Failed);
    }

    /// Found by fuzzing: refusals and long lines were only counted between two reads of the socket.
    #[test]
    fn bytes_that_come_at_once_are_worth_no_more_than_one_by_one() {
        let long = "x".repeat(LINE_BYTES);
        for text in [
            format!("\0{}AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", "AUTH\r\n".repeat(9)),
            format!("\0{}AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", "AUTH\r\n".repeat(8)),
            format!("\0{long}x\r\nAUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"),
            format!("\0{long}\r\nAUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"),
        ] {
            let (_, at_once, answer) = talk(7, &text);
            let (mut server, mut pending, mut answers) = (Server::new(7), Vec::new(), Vec::new());
            let mut one_by_one = Progress::Going;
            for byte in text.bytes() {
                pending.push(byte);
                let (used, progress) = server.feed(&pending, GUID, &mut answers);
                pending.drain(..used);
                one_by_one = progress;
                if progress != Progress::Going {
                    break;
                }
            }
            assert_eq!((one_by_one, String::from_utf8(answers).unwrap()), (at_once, answer), "{text:?}");
        }
    }

    #[test]
    fn both_sides_understand_each_other() {
        let (mut client, hello) = Client::new(42);
        let mut server = Server::new(42);
        let (mut to_client, mut to_server, mut done) = (Vec::new(), hello, (false, false));
        for _ in 0..6 {
            let (used, progress) = server.feed(&to_server, GUID, &mut to_client);
            to_server.drain(..used);
            done.0 |= progress == Progress::Done;
            let (used, progress) = client.feed(&to_client, &mut to_server);
            to_client.drain(..used);
            done.1 |= progress == Progress::Done;
            if done == (true, true) {
                return;
            }
        }
        panic!("no end: {done:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut answer = Vec::new();
            let (used, _) = Server::new(0).feed(&bytes, GUID, &mut answer);
            prop_assert!(used <= bytes.len());
            let (used, _) = Client::new(0).0.feed(&bytes, &mut answer);
            prop_assert!(used <= bytes.len());
        }
    }
}
