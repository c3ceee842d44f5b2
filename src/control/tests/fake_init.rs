//! An init for tests: a real D-Bus server on a socket in a temporary directory, with jobs that obey at once.
//!
//! The tests of other packages that are clients use it, too.
//!
//! It knows the contract's names and errors, so that clients can be tested without an init. It can be stopped and
//! started again on the same socket, and it can leave a call unanswered.

#![allow(dead_code, reason = "no test program needs all of it")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_core::Stream;
use tokio::sync::{broadcast, watch};
use zbus::message::Type as MessageType;
use zbus::{Connection, Guid, Message, MessageStream, ObjectPath, OwnedVariant, Variant, connection};

pub const MANAGER: &str = "com.ubuntu.Upstart0_6";
pub const ROOT: &str = "/com/ubuntu/Upstart";
const ERROR: &str = "com.ubuntu.Upstart0_6.Error";
const INVALID: &str = "org.freedesktop.DBus.Error.InvalidArgs";
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory that goes away with its owner.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stayup-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Default)]
pub struct Job {
    pub usage: String,
    pub start_on: Vec<Vec<String>>,
    pub stop_on: Vec<Vec<String>>,
    pub emits: Vec<String>,
    /// Whether it has the stanza `instance $N`.
    pub many: bool,
    /// Its start fails.
    pub fails: bool,
    /// It ends as soon as it has started.
    pub task: bool,
    /// Name of each instance, its goal and state, and its processes.
    pub instances: BTreeMap<String, State>,
}

type State = (String, String, Vec<(String, i32)>);

impl Job {
    pub fn running(mut self, instance: &str, pid: i32) -> Self {
        self.set(instance, "start/running", &[("main", pid)]);
        self
    }

    pub fn set(&mut self, instance: &str, state: &str, processes: &[(&str, i32)]) {
        let (goal, state) = state.split_once('/').unwrap();
        let processes = processes.iter().map(|(name, pid)| ((*name).to_owned(), *pid));
        let value = (goal.to_owned(), state.to_owned(), processes.collect());
        self.instances.insert(instance.to_owned(), value);
    }
}

/// All that the init knows, and all that was asked of it.
#[derive(Default)]
pub struct World {
    pub jobs: BTreeMap<String, Job>,
    pub env: BTreeMap<String, String>,
    pub log_priority: String,
    pub generation: Option<u64>,
    /// Calls so far, as `Member(arguments)`, readings excepted.
    pub calls: Vec<String>,
    /// Events that were emitted by clients.
    pub events: Vec<(String, Vec<String>)>,
    /// Calls of this member find no answer: the connection is closed instead.
    pub hangs_up_on: Option<&'static str>,
    /// So many connections are closed in the middle of the handshake.
    pub cuts_short: u32,
    pub connections: u32,
}

struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

pub struct FakeInit {
    shared: Arc<Shared>,
    socket: PathBuf,
    running: Option<Running>,
}

struct Running {
    stop: watch::Sender<bool>,
    signals: broadcast::Sender<Message>,
    thread: JoinHandle<()>,
}

impl FakeInit {
    pub fn new(socket: PathBuf) -> Self {
        let world = World { log_priority: "message".to_owned(), ..World::default() };
        let mut init = Self {
            shared: Arc::new(Shared { world: Mutex::new(world), changed: Condvar::new() }),
            socket,
            running: None,
        };
        init.start();
        init
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Waits until the world is so.
    pub fn wait(&self, what: &str, condition: impl Fn(&World) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut world = self.world();
        while !condition(&world) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain: {what}");
            world = self.shared.changed.wait_timeout(world, left).unwrap().0;
        }
    }

    pub fn signal<B>(&self, path: &str, member: &str, body: &B)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let signal = Message::signal(path, MANAGER, member).build(body).unwrap();
        let running = self.running.as_ref().unwrap();
        let _ = running.signals.send(signal);
    }

    pub fn start(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (signals, _) = broadcast::channel(4096);
        let (shared, sender) = (self.shared.clone(), signals.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, shared, sender, stopped));
        });
        self.running = Some(Running { stop, signals, thread });
    }

    /// Closes the socket and all connections, as a crash does.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(true);
            let _ = running.thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
        if let Ok(mut world) = self.shared.world.lock() {
            world.connections = 0;
        }
    }
}

impl Drop for FakeInit {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(
    listener: UnixListener,
    shared: Arc<Shared>,
    signals: broadcast::Sender<Message>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => accepted.unwrap(),
        };
        let stream = stream.into_std().unwrap();
        let mut world = shared.world.lock().unwrap();
        if world.cuts_short > 0 {
            world.cuts_short -= 1;
            continue;
        }
        drop(world);
        let (shared, signals) = (shared.clone(), signals.subscribe());
        tokio::spawn(async move {
            let builder = connection::Builder::unix_stream(stream).server(Guid::generate()).p2p();
            if let Ok(connection) = builder.build().await {
                let stream = MessageStream::from(&connection);
                serve(connection, stream, shared, signals).await;
            }
        });
    }
}

async fn serve(
    connection: Connection,
    mut stream: MessageStream,
    shared: Arc<Shared>,
    mut signals: broadcast::Receiver<Message>,
) {
    shared.world.lock().unwrap().connections += 1;
    shared.changed.notify_all();
    loop {
        let message = tokio::select! {
            signal = signals.recv() => {
                if connection.send(&signal.unwrap()).await.is_err() {
                    break;
                }
                continue;
            }
            message = next(&mut stream) => message,
        };
        let Some(Ok(call)) = message else { break };
        if call.message_type() != MessageType::MethodCall {
            continue;
        }
        let answer = answer(&call, &mut shared.world.lock().unwrap());
        shared.changed.notify_all();
        let Some(answer) = answer else { break };
        if connection.send(&answer).await.is_err() {
            break;
        }
    }
    let mut world = shared.world.lock().unwrap();
    world.connections = world.connections.saturating_sub(1);
    shared.changed.notify_all();
}

async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

type Answer = Result<Message, (String, String)>;

/// `None` hangs up.
fn answer(call: &Message, world: &mut World) -> Option<Message> {
    let header = call.header();
    let member = header.member().unwrap().to_string();
    if world.hangs_up_on == Some(member.as_str()) {
        return None;
    }
    let path = header.path().unwrap().to_string();
    let interface = header.interface().unwrap().to_string();
    let result = match interface.as_str() {
        MANAGER => manager(call, &member, world),
        "com.ubuntu.Upstart0_6.Job" => class(call, &path, &member, world),
        "com.ubuntu.Upstart0_6.Instance" => instance(call, &path, &member, world),
        "org.freedesktop.DBus.Properties" => properties(call, &path, &member, world),
        _ => unknown(&member),
    };
    Some(result.unwrap_or_else(|(name, text)| Message::error(&header, name.as_str()).build(&text).unwrap()))
}

fn unknown(member: &str) -> Answer {
    let name = "org.freedesktop.DBus.Error.UnknownMethod";
    Err((name.to_owned(), format!("No such method: {member}")))
}

fn reply<B: serde::Serialize + zbus::DynamicType>(call: &Message, body: &B) -> Answer {
    Ok(Message::method_return(&call.header()).build(body).unwrap())
}

fn arguments<T: serde::de::DeserializeOwned + zbus::Type>(call: &Message) -> Result<T, (String, String)> {
    call.body().deserialize().map_err(|error| (INVALID.to_owned(), error.to_string()))
}

fn path_of(name: &str) -> String {
    let escape = |name: &str| {
        let letter = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("_{byte:02x}"),
        };
        let escaped: String = name.bytes().map(letter).collect();
        if escaped.is_empty() { "_".to_owned() } else { escaped }
    };
    format!("{ROOT}/jobs/{}", escape(name))
}

fn instance_path(job: &str, instance: &str) -> String {
    format!("{}/{}", path_of(job), &path_of(instance)[ROOT.len() + 6..])
}

fn object(call: &Message, path: &str) -> Answer {
    reply(call, &ObjectPath::try_from(path).unwrap())
}

fn objects(call: &Message, paths: impl Iterator<Item = String>) -> Answer {
    let paths: Vec<_> = paths.map(|path| ObjectPath::try_from(path).unwrap()).collect();
    reply(call, &paths)
}

fn manager(call: &Message, member: &str, world: &mut World) -> Answer {
    match member {
        "GetJobByName" => {
            let name: String = arguments(call)?;
            if !world.jobs.contains_key(&name) {
                return Err((format!("{ERROR}.UnknownJob"), format!("Unknown job: {name}")));
            }
            object(call, &path_of(&name))
        }
        "GetAllJobs" => objects(call, world.jobs.keys().map(|name| path_of(name))),
        "EmitEvent" => {
            let (name, env, wait): (String, Vec<String>, bool) = arguments(call)?;
            world.calls.push(format!("EmitEvent({name} {env:?} {wait})"));
            if name == "fails" && wait {
                return Err((format!("{ERROR}.EventFailed"), "Event failed".to_owned()));
            }
            world.events.push((name, env));
            reply(call, &())
        }
        "ListEnv" => {
            let table: Vec<String> = arguments(call)?;
            world.calls.push(format!("ListEnv({table:?})"));
            let list = world.env.iter().rev().map(|(name, value)| format!("{name}={value}"));
            reply(call, &list.collect::<Vec<_>>())
        }
        "GetEnv" => {
            let (_, name): (Vec<String>, String) = arguments(call)?;
            match world.env.get(&name) {
                Some(value) => reply(call, value),
                None => Err((INVALID.to_owned(), format!("No such variable: {name}"))),
            }
        }
        _ => {
            world.calls.push(format!("{member}({})", words(call)));
            reply(call, &())
        }
    }
}

/// The arguments of calls that are only noted.
fn words(call: &Message) -> String {
    let body = call.body();
    match body.signature().to_string_no_parens().as_str() {
        "" => String::new(),
        "s" => format!("{:?}", body.deserialize::<String>().unwrap()),
        "as" => format!("{:?}", body.deserialize::<Vec<String>>().unwrap()),
        "asas" => format!("{:?}", body.deserialize::<(Vec<String>, Vec<String>)>().unwrap()),
        "ass" => format!("{:?}", body.deserialize::<(Vec<String>, String)>().unwrap()),
        "assb" => format!("{:?}", body.deserialize::<(Vec<String>, String, bool)>().unwrap()),
        "asasb" => {
            format!("{:?}", body.deserialize::<(Vec<String>, Vec<String>, bool)>().unwrap())
        }
        other => other.to_owned(),
    }
}

fn job_at<'a>(path: &str, world: &'a mut World) -> Result<(String, &'a mut Job), (String, String)> {
    let found = world
        .jobs
        .iter_mut()
        .find(|(name, _)| path == path_of(name) || path.starts_with(&format!("{}/", path_of(name))));
    match found {
        Some((name, job)) => Ok((name.clone(), job)),
        None => unknown(path).map(|_| unreachable!()),
    }
}

fn instance_name(job: &Job, env: &[String]) -> Result<String, (String, String)> {
    if !job.many {
        return Ok(String::new());
    }
    let value = env.iter().find_map(|pair| pair.strip_prefix("N="));
    let missing = || (INVALID.to_owned(), "Unknown parameter: N".to_owned());
    value.map(str::to_owned).ok_or_else(missing)
}

fn unknown_instance(name: &str) -> (String, String) {
    (format!("{ERROR}.UnknownInstance"), format!("Unknown instance: {name}"))
}

fn class(call: &Message, path: &str, member: &str, world: &mut World) -> Answer {
    let (job_name, job) = job_at(path, world)?;
    let env_and_wait = || match arguments::<(Vec<String>, bool)>(call) {
        Ok(both) => Ok(both),
        Err(_) => arguments::<Vec<String>>(call).map(|env| (env, false)),
    };
    if member == "GetAllInstances" {
        let names: Vec<_> = job.instances.keys().cloned().collect();
        return objects(call, names.iter().map(|name| instance_path(&job_name, name)));
    }
    let (name, wait) = match member {
        "GetInstanceByName" => (arguments::<String>(call)?, false),
        _ => {
            let (env, wait) = env_and_wait()?;
            (instance_name(job, &env)?, wait)
        }
    };
    if member != "Start" && !job.instances.contains_key(&name) {
        return Err(unknown_instance(&name));
    }
    let there = instance_path(&job_name, &name);
    let called = format!("{member}({job_name} {name:?} {wait})");
    match member {
        "Start" if job.instances.contains_key(&name) => {
            let text = format!("Job is already running: {job_name}");
            return Err((format!("{ERROR}.AlreadyStarted"), text));
        }
        "Start" if job.fails => {
            let text = "Job failed to start".to_owned();
            return Err((format!("{ERROR}.JobFailed"), text));
        }
        "Start" if job.task => {}
        "Start" => job.set(&name, "start/running", &[("main", 4711)]),
        "Restart" => job.set(&name, "start/running", &[("main", 4712)]),
        "Stop" => drop(job.instances.remove(&name)),
        "GetInstance" | "GetInstanceByName" => return object(call, &there),
        _ => return unknown(member),
    }
    world.calls.push(called);
    if member == "Stop" { reply(call, &()) } else { object(call, &there) }
}

fn instance(call: &Message, path: &str, member: &str, world: &mut World) -> Answer {
    let (job_name, job) = job_at(path, world)?;
    let gone = || unknown(member).unwrap_err();
    let names: Vec<_> = job.instances.keys().cloned().collect();
    let name = names.iter().find(|name| instance_path(&job_name, name) == path).ok_or_else(gone)?;
    if member == "Reload" && job.instances[name].2.is_empty() {
        let text = format!("Job is not running: {job_name}");
        return Err((format!("{ERROR}.NotRunning"), text));
    }
    let wait = arguments::<bool>(call).unwrap_or_default();
    world.calls.push(format!("Instance.{member}({job_name} {name:?} {wait})"));
    reply(call, &())
}

fn properties(call: &Message, path: &str, member: &str, world: &mut World) -> Answer {
    if member == "Set" {
        let (_, name, value): (String, String, OwnedVariant) = arguments(call)?;
        world.calls.push(format!("Set({name})"));
        world.log_priority = String::try_from(value).unwrap();
        return reply(call, &());
    }
    if path == ROOT || path == "/stayup" {
        let (_, name): (String, String) = arguments(call)?;
        if name == "RestartGeneration" {
            world.calls.push(format!("{name} {:?}", world.generation));
        }
        let value = match (name.as_str(), world.generation) {
            ("version", _) => Variant::from("init (upstart 1.13.2)"),
            ("log_priority", _) => Variant::from(world.log_priority.as_str()),
            ("RestartGeneration", Some(generation)) => Variant::from(generation),
            _ => return unknown(&name),
        };
        return reply(call, &value);
    }
    let (job_name, job) = job_at(path, world)?;
    if member == "Get" {
        return reply(call, &Variant::from(job.usage.as_str()));
    }
    let mut all = BTreeMap::<&str, Variant<'_>>::new();
    if path == path_of(&job_name) {
        all.insert("name", Variant::from(job_name.as_str()));
        all.insert("description", Variant::from("not asked for"));
        all.insert("start_on", Variant::new(job.start_on.clone()));
        all.insert("stop_on", Variant::new(job.stop_on.clone()));
        all.insert("emits", Variant::new(job.emits.clone()));
        return reply(call, &all);
    }
    // The plain name first: the crowd of a thousand has only such names.
    let last = path.rsplit('/').next().unwrap();
    let found = job
        .instances
        .get_key_value(last)
        .or_else(|| job.instances.iter().find(|(name, _)| instance_path(&job_name, name) == path));
    let Some((name, (goal, state, processes))) = found else {
        return unknown(member);
    };
    all.insert("name", Variant::from(name.as_str()));
    all.insert("goal", Variant::from(goal.as_str()));
    all.insert("state", Variant::from(state.as_str()));
    all.insert("processes", Variant::new(processes.clone()));
    reply(call, &all)
}

/// Waits until a file holds this text.
pub fn wait_for_text(path: &Path, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while std::fs::read_to_string(path).unwrap_or_default() != text {
        assert!(Instant::now() < deadline, "waited in vain for {text:?} in {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}
