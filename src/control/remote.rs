//! The methods of the contract that clients use, by their meaning.
//!
//! Knows which method of which object does what and what its values are. Must never know what is printed.

use zbus::{DeserializeDict, OwnedObjectPath, OwnedVariant, Type, Variant};

use crate::bus::{Bus, Call, CallError};
use crate::names::{INSTANCE, JOB, MANAGER, MANAGER_PATH, PROPERTIES, STAYUP, STAYUP_PATH};

/// What an instance is doing, as its properties say.
#[derive(Clone, Debug, Default, DeserializeDict, Eq, PartialEq, Type)]
#[zbus(signature = "a{sv}")]
pub struct InstanceState {
    /// Name of the instance; empty where the job has only one.
    pub name: String,
    /// `start`, `stop` or `respawn`.
    pub goal: String,
    /// `waiting`, `running`, and so on.
    pub state: String,
    /// Name (`main`, `pre-stop` …) and pid of each process.
    pub processes: Vec<(String, i32)>,
}

/// What a class says of the events it deals with.
#[derive(Clone, Debug, Default, DeserializeDict, Eq, PartialEq, Type)]
#[zbus(signature = "a{sv}")]
pub struct ClassEvents {
    /// Name of the job.
    pub name: String,
    /// Start condition in reverse Polish notation.
    pub start_on: Vec<Vec<String>>,
    /// Stop condition in reverse Polish notation.
    pub stop_on: Vec<Vec<String>>,
    /// Events (or patterns of them) that the job says it emits.
    pub emits: Vec<String>,
}

/// What can be asked of a job or an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// Set the goal to start.
    Start,
    /// Set the goal to stop.
    Stop,
    /// Stop and start again.
    Restart,
}

impl Request {
    fn member(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Stop => "Stop",
            Self::Restart => "Restart",
        }
    }
}

/// Calls of an init over one connection. Every method fails as [`Bus::call`] does.
#[derive(Debug)]
pub struct Remote {
    /// The connection.
    pub bus: Bus,
}

impl Remote {
    /// Speaks over this connection.
    pub fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Calls a method of the manager.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn manager<A, R>(&mut self, member: &str, arguments: &A) -> Result<R, CallError>
    where
        A: serde::Serialize + zbus::DynamicType,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let call = Call { path: MANAGER_PATH, interface: MANAGER, member };
        self.bus.call(call, arguments).await
    }

    async fn class<A, R>(&mut self, path: &str, member: &str, arguments: &A) -> Result<R, CallError>
    where
        A: serde::Serialize + zbus::DynamicType,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let interface = JOB;
        let call = Call { path, interface, member };
        self.bus.call(call, arguments).await
    }

    /// Path of the class of this name.
    ///
    /// # Errors
    /// `UnknownJob`.
    pub async fn job(&mut self, name: &str) -> Result<String, CallError> {
        let path: OwnedObjectPath = self.manager("GetJobByName", &name).await?;
        Ok(path.to_string())
    }

    /// Paths of all classes.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn all_jobs(&mut self) -> Result<Vec<String>, CallError> {
        let paths: Vec<OwnedObjectPath> = self.manager("GetAllJobs", &()).await?;
        Ok(paths.iter().map(ToString::to_string).collect())
    }

    /// Paths of the instances of each class; of a class that has gone meanwhile there are none.
    ///
    /// # Errors
    /// As for [`Bus::call_each`].
    pub async fn instances_of(&mut self, classes: &[String]) -> Result<Vec<Vec<String>>, CallError> {
        let answers = self.bus.call_each::<_, Vec<OwnedObjectPath>>(classes, JOB, "GetAllInstances", &()).await?;
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            let paths = present(answer)?.unwrap_or_default();
            all.push(paths.iter().map(ToString::to_string).collect());
        }
        Ok(all)
    }

    /// Path of the instance that these variables choose.
    ///
    /// # Errors
    /// `UnknownInstance`, or `InvalidArgs` where a variable of the instance's name is missing.
    pub async fn instance(&mut self, class: &str, env: &[String]) -> Result<String, CallError> {
        let path: OwnedObjectPath = self.class(class, "GetInstance", &env).await?;
        Ok(path.to_string())
    }

    /// Path of the instance of this name.
    ///
    /// # Errors
    /// `UnknownInstance`.
    pub async fn instance_by_name(&mut self, class: &str, name: &str) -> Result<String, CallError> {
        let path: OwnedObjectPath = self.class(class, "GetInstanceByName", &name).await?;
        Ok(path.to_string())
    }

    /// Asks something of the instance that these variables choose; with `wait`, until it is done.
    ///
    /// # Errors
    /// `AlreadyStarted`, `AlreadyStopped`, `JobFailed` and those of [`Remote::instance`].
    pub async fn request(
        &mut self,
        class: &str,
        request: Request,
        env: &[String],
        wait: bool,
    ) -> Result<Option<String>, CallError> {
        let arguments = (env, wait);
        if request == Request::Stop {
            self.class::<_, ()>(class, request.member(), &arguments).await?;
            return Ok(None);
        }
        let path: OwnedObjectPath = self.class(class, request.member(), &arguments).await?;
        Ok(Some(path.to_string()))
    }

    /// Asks something of this instance; with `wait`, until it is done.
    ///
    /// # Errors
    /// As for [`Remote::request`].
    pub async fn request_instance(&mut self, instance: &str, request: Request, wait: bool) -> Result<(), CallError> {
        let call = Call { path: instance, interface: INSTANCE, member: request.member() };
        self.bus.call(call, &wait).await
    }

    /// Sends the main process of this instance its reload signal.
    ///
    /// # Errors
    /// `NotRunning`.
    pub async fn reload(&mut self, instance: &str) -> Result<(), CallError> {
        let call = Call { path: instance, interface: INSTANCE, member: "Reload" };
        self.bus.call(call, &()).await
    }

    /// What this instance is doing; `None` if it is gone.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn state(&mut self, instance: &str) -> Result<Option<InstanceState>, CallError> {
        let paths = [instance.to_owned()];
        Ok(self.states(&paths).await?.pop().flatten())
    }

    /// What each of these instances is doing; `None` for those that are gone.
    ///
    /// # Errors
    /// As for [`Bus::call_each`].
    pub async fn states(&mut self, instances: &[String]) -> Result<Vec<Option<InstanceState>>, CallError> {
        let answers = self.bus.call_each(instances, PROPERTIES, "GetAll", &INSTANCE).await?;
        answers.into_iter().map(present).collect()
    }

    /// The conditions and events of each of these classes; `None` for those that are gone.
    ///
    /// # Errors
    /// As for [`Bus::call_each`].
    pub async fn class_events(&mut self, classes: &[String]) -> Result<Vec<Option<ClassEvents>>, CallError> {
        let answers = self.bus.call_each(classes, PROPERTIES, "GetAll", &JOB).await?;
        answers.into_iter().map(present).collect()
    }

    /// Reads a property of any object.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<OwnedVariant, CallError> {
        let call = Call { path, interface: PROPERTIES, member: "Get" };
        self.bus.call(call, &(interface, name)).await
    }

    /// Reads a property that is a string.
    ///
    /// # Errors
    /// As for [`Bus::call`]; `Malformed` if it is no string.
    pub async fn text_property(&mut self, path: &str, interface: &str, name: &str) -> Result<String, CallError> {
        let value = self.property(path, interface, name).await?;
        String::try_from(value).map_err(CallError::Malformed)
    }

    /// Sets a property of the manager that is a string.
    ///
    /// # Errors
    /// As for [`Bus::call`].
    pub async fn set_manager_property(&mut self, name: &str, value: &str) -> Result<(), CallError> {
        let call = Call { path: MANAGER_PATH, interface: PROPERTIES, member: "Set" };
        self.bus.call(call, &(MANAGER, name, Variant::from(value))).await
    }

    /// Emits an event; with `wait`, returns when all that it started or stopped has settled.
    ///
    /// # Errors
    /// `EventFailed`, or `InvalidArgs`.
    pub async fn emit(&mut self, name: &str, env: &[String], wait: bool) -> Result<(), CallError> {
        self.manager("EmitEvent", &(name, env, wait)).await
    }

    /// Asks the init to execute itself anew.
    ///
    /// An init that gives up its connections when it does so has done what was asked, so a connection that ends
    /// without an answer is a success.
    ///
    /// # Errors
    /// `PermissionDenied`, or as for [`Bus::call`].
    pub async fn restart(&mut self) -> Result<(), CallError> {
        match self.manager("Restart", &()).await {
            Err(CallError::Disconnected) => Ok(()),
            other => other,
        }
    }

    /// Asks the init of a session or container to stop all jobs and exit with this status; one that has gone meanwhile has.
    ///
    /// # Errors
    /// `PermissionDenied`, or as for [`Bus::call`].
    pub async fn exit(&mut self, status: u8) -> Result<(), CallError> {
        let call = Call { path: STAYUP_PATH, interface: STAYUP, member: "Exit" };
        match self.bus.call(call, &status).await {
            Err(CallError::Disconnected) => Ok(()),
            other => other,
        }
    }
}

/// `None` for an error reply: the object has gone since it was listed.
fn present<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(CallError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
