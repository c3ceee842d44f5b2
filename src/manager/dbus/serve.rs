//! Serving one connection: a message at a time, and what follows from it for the connection itself.

use machine::effect::{Caller, Priority};
use machine::state::State;
use zbus::message::{Flags, Message, Type};

use super::connection::{Connection, End, Hold, Phase, Role, Step};
use super::interface::{Outcome, Request};
use super::objects::dispatch;
use super::{Dbus, Incoming, socket};

impl Dbus {
    /// The next event for the main loop. From now on it counts as known to the keeper, where it is for it: the main loop
    /// tells it before it comes again.
    pub(super) fn pop_event(&mut self) -> Option<Incoming> {
        let event = self.events.pop_front()?;
        if let Incoming::Release { connection, .. } = &event
            && let Some(connection) = self.connections.get_mut(connection)
        {
            connection.hold = Hold::Told { visit: self.visit };
            self.dirty.insert(connection.number);
            if !connection.is_queued {
                connection.is_queued = true;
                self.ready.push_back(connection.number);
            }
        }
        Some(event)
    }

    /// Serves a connection whose turn it is: at most one message.
    pub(super) fn serve(&mut self, number: u64, state: &State) {
        let Some(mut connection) = self.connections.remove(&number) else { return };
        connection.is_queued = false;
        let result = self.advance(&mut connection, state);
        self.settle(connection, result);
    }

    fn advance(&mut self, connection: &mut Connection, state: &State) -> Result<Step, End> {
        match connection.phase {
            Phase::Server(_) => return self.greet_client(connection),
            Phase::Client(_) => return self.greet_bus(connection),
            Phase::Hello { .. } | Phase::Naming { .. } | Phase::Open => {}
        }
        if let Some((message, in_socket)) = connection.unpark() {
            return self.take_call(connection, message, in_socket, state);
        }
        if !connection.is_readable || !connection.may_read() {
            return Ok(Step::Nothing);
        }
        match connection.read(&mut self.scratch, self.visit)? {
            Step::Message { message, in_socket } => self.take(connection, message, in_socket, state),
            other => Ok(other),
        }
    }

    fn take(
        &mut self,
        connection: &mut Connection,
        message: Message,
        in_socket: usize,
        state: &State,
    ) -> Result<Step, End> {
        match message.message_type() {
            Type::MethodCall if connection.role != Role::Asker => self.take_call(connection, message, in_socket, state),
            Type::MethodReturn | Type::Error => {
                connection.is_resumed = false;
                connection.finish(in_socket, &mut self.scratch)?;
                self.take_answer(connection, &message)
            }
            Type::MethodCall | Type::Signal => {
                connection.is_resumed = false;
                connection.finish(in_socket, &mut self.scratch)?;
                Ok(Step::Nothing)
            }
        }
    }

    fn take_call(
        &mut self,
        connection: &mut Connection,
        message: Message,
        in_socket: usize,
        state: &State,
    ) -> Result<Step, End> {
        let sender = match connection.role {
            Role::Bus => message.header().sender().map(|name| name.as_str().to_owned()),
            Role::Client { .. } | Role::Asker => None,
        };
        let serial = message.primary_header().serial_num().get();
        let caller = Caller { connection: connection.number, serial, sender };
        if std::mem::take(&mut connection.is_resumed) && state.was_taken(&caller) {
            connection.finish(in_socket, &mut self.scratch)?;
            return Ok(Step::Nothing);
        }
        let is_privileged = match connection.role {
            Role::Client { is_privileged, .. } => Some(is_privileged),
            Role::Bus if self.config.is_session => Some(true),
            Role::Bus => self.bus.is_privileged(caller.sender.as_deref(), self.config.own_uid),
            Role::Asker => Some(false),
        };
        let request = Request {
            state,
            view: &self.view,
            config: &self.config,
            caller: &caller,
            message: &message,
            root: connection.root.as_deref(),
        };
        let outcome = dispatch(&request, is_privileged);
        let wants_reply = !message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED);
        if matches!(outcome, Outcome::Call { .. } | Outcome::Control(_)) {
            if !wants_reply {
                connection.silence(&caller);
            }
            connection.handed(caller.clone(), in_socket);
        }
        match outcome {
            Outcome::Reply(reply) => {
                if let Some(reply) = reply.filter(|_| wants_reply) {
                    connection.queue(0, reply)?;
                }
                connection.answered(in_socket);
                return connection.flush(&mut self.scratch, self.visit);
            }
            Outcome::Call { call, file } => self.events.push_back(Incoming::Call { caller, call: *call, file }),
            Outcome::Control(control) => self.events.push_back(Incoming::Control { caller, control }),
            Outcome::WhoIsIt => {
                connection.parked(message, in_socket);
                self.ask_who(caller.sender.unwrap_or_default());
            }
        }
        Ok(Step::Nothing)
    }

    /// Puts a connection back after something was done with it, or ends it; sees to all that follows from its new state.
    pub(super) fn settle(&mut self, mut connection: Box<Connection>, result: Result<Step, End>) {
        let step = match result {
            Ok(step) => step,
            Err(end) => {
                self.end(&connection, &end);
                return;
            }
        };
        let number = connection.number;
        if matches!(step, Step::Release) && connection.hold == Hold::Held {
            connection.hold = Hold::Releasing;
            self.events.push_back(Incoming::Release { connection: number, name: connection.name.clone() });
        }
        let is_blocked = matches!(step, Step::Release);
        if connection.wants_hold(self.visit) {
            self.hold(&mut connection);
        }
        let awaits_room = connection.has_output() && !is_blocked && !self.dirty.contains(&number);
        if awaits_room != connection.awaits_room {
            connection.awaits_room = awaits_room;
            if let Err(error) = self.poll.watch_room(&connection.socket, number, awaits_room) {
                self.end(&connection, &error.into());
                return;
            }
        }
        if let Some(deadline) = connection.deadline {
            self.set_timer(deadline, number);
        }
        let may_go_on = !is_blocked && connection.is_readable && (!connection.is_open() || connection.may_read());
        if may_go_on && !connection.is_queued {
            connection.is_queued = true;
            self.ready.push_back(number);
        }
        self.connections.insert(number, connection);
    }

    /// Has the keeper hold a duplicate, from now on or again.
    fn hold(&mut self, connection: &mut Connection) {
        // Without a descriptor to spare, it is tried again the next time.
        let Ok(descriptor) = socket::duplicate(&connection.socket) else { return };
        connection.hold = Hold::Held;
        let (number, name) = (connection.number, connection.name.clone());
        self.events.push_back(if std::mem::replace(&mut connection.is_known, true) {
            Incoming::Hold { connection: number, name, descriptor }
        } else {
            Incoming::Opened { connection: number, name, descriptor }
        });
    }

    /// Ends a connection, for the keeper's duplicate too.
    fn end(&mut self, connection: &Connection, end: &End) {
        self.poll.remove(&connection.socket);
        socket::end(&connection.socket);
        if connection.is_known {
            let (number, name) = (connection.number, connection.name.clone());
            self.events.push_back(Incoming::Closed { connection: number, name });
        }
        match connection.role {
            Role::Client { uid, is_privileged } => self.log_end(uid, is_privileged, end),
            Role::Bus if self.bus.is_on(connection.number) => self.on_bus_end(end),
            Role::Bus => {}
            Role::Asker => self.on_asker_end(),
        }
    }

    fn log_end(&mut self, uid: u32, is_privileged: bool, end: &End) {
        let reason = match end {
            End::Closed => return,
            End::Misbehaved(what) => (*what).to_owned(),
            End::Failed(error) => error.to_string(),
        };
        let text = format!("disconnected a D-Bus client of user {uid}: {reason}");
        if is_privileged {
            self.events.push_back(Incoming::Log(Priority::Warn, text));
        } else {
            self.complain(text);
        }
    }

    /// A log line that somebody without any rights has caused. The more there are, the fewer are written.
    pub(super) fn complain(&mut self, text: String) {
        self.refused += 1;
        if self.refused.is_power_of_two() {
            self.events.push_back(Incoming::Log(Priority::Warn, text));
        }
    }
}
