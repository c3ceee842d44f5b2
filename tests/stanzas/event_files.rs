//! `EmitEventWithFile`: the descriptor that comes with an event reaches the job that it starts, whoever dies in between.
//!
//! The client that has a file to give is this test itself, in the world of its init.

use crate::rig::{await_status, kill_manager};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use testkit::{Setup, until};

/// Not a test: emits the event of this name with a file that says what `STAYUP_TEXT` says.
#[test]
fn emit_it() {
    let (Ok(event), Ok(text)) = (std::env::var("STAYUP_EMIT"), std::env::var("STAYUP_TEXT")) else { return };
    let path = format!("/run/test/{event}");
    std::fs::write(&path, text).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let address = SocketAddr::from_abstract_name("/com/ubuntu/upstart").unwrap();
    let mut socket = UnixStream::connect_addr(&address).unwrap();
    socket.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n").unwrap();
    let numbers = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&numbers)];
    let message = emit_with_file(&event);
    let sent = sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(&message)], &rights, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(message.len()));
    drop(file);
    // The answer: init has taken the call.
    let mut heard = Vec::new();
    while !heard.windows(4).any(|four| four == [b'l', 2, 1, 1]) {
        let mut some = [0; 4096];
        let length = socket.read(&mut some).unwrap();
        assert_ne!(length, 0, "init hung up: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&some[..length]);
    }
}

/// The call, as the D-Bus specification has it; it does not wait for what the event starts.
fn emit_with_file(event: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, 4, event);
    for number in [0_u32, 0, 0] {
        // No environment, no waiting, the first descriptor.
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(number.to_le_bytes());
    }
    let mut message = vec![b'l', 1, 0, 1];
    message.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    message.extend(1_u32.to_le_bytes());
    message.extend([0; 4]);
    let texts = [(1, b'o', "/com/ubuntu/Upstart"), (2, b's', "com.ubuntu.Upstart0_6"), (3, b's', "EmitEventWithFile")];
    for (code, kind, value) in texts {
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend([code, 1, kind, 0]);
        put(&mut message, 4, value);
    }
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(b"\x08\x01g\0\x05sasbh\0");
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(b"\x09\x01u\0\x01\0\0\0");
    let fields = u32::try_from(message.len() - 16).unwrap();
    message[12..16].copy_from_slice(&fields.to_le_bytes());
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}

fn put(bytes: &mut Vec<u8>, align: usize, text: &str) {
    bytes.resize(bytes.len().next_multiple_of(align), 0);
    bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    bytes.extend(text.bytes().chain([0]));
}

#[test]
fn the_file_of_an_event_is_lost_on_its_way() {
    let own = std::env::current_exe().unwrap();
    // Not `<&$n`: dash takes numbers of one digit only.
    let reader = "script\n  cat /proc/self/fd/${UPSTART_FDS%% *} > /run/test/$UPSTART_JOB.read\nend script\n";
    let wait = "pre-start script\n  while [ ! -e /run/test/go ]; do sleep 0.02; done\nend script\n";
    let emit = format!("env STAYUP_TEXT=words\nexec {} --exact event_files::emit_it\n", own.display());
    let setup = Setup::new()
        .job("one", &format!("start on given\ntask\n{reader}"))
        // Its main process starts when the manager that took the call is dead.
        .job("other", &format!("start on given\ntask\n{wait}{reader}"))
        .job("giver", &format!("task\nenv STAYUP_EMIT=given\n{emit}"));
    let Some(world) = setup.start_or_skip() else { return };
    world.await_init();
    let answer = world.initctl(&["start", "giver"]);
    assert_eq!(answer.status, 0, "{}", world.printed());
    until("the first job has read", || world.read("/run/test/one.read") == "words");
    await_status(&world, "other", "start/pre-start");
    kill_manager(&world);
    world.write("/run/test/go", "");
    until("the other job has read", || world.read("/run/test/other.read") == "words");
}
