//! Commands about jobs: start, stop, restart, reload, status, list, usage.

use super::{Failure, Invocation, own_job};
use crate::bus::CallError;
use crate::names::{JOB, UNKNOWN_INSTANCE, class_name};
use crate::remote::{Remote, Request};
use crate::status::describe;

/// The instance a command is about.
enum Subject<'a> {
    /// The job is named on the command line, and these variables choose the instance.
    Named(&'a str, &'a [String]),
    /// The job and the instance that this very process belongs to.
    Own(String, String),
}

impl<'a> Subject<'a> {
    /// Without words it is the job we run in, which has been checked to exist.
    fn of(invocation: &'a Invocation) -> Self {
        match (invocation.words.split_first(), own_job()) {
            (Some((job, env)), _) => Self::Named(job, env),
            (None, Some((job, instance))) => Self::Own(job, instance),
            (None, None) => Self::Named("", &[]),
        }
    }

    fn job(&self) -> &str {
        match self {
            Self::Named(job, _) => job,
            Self::Own(job, _) => job,
        }
    }

    /// Whether it is the only instance a job without `instance` stanza can have, as far as can be told.
    fn is_singleton(&self) -> bool {
        match self {
            Self::Named(_, env) => env.is_empty(),
            Self::Own(_, instance) => instance.is_empty(),
        }
    }

    async fn path(&self, remote: &mut Remote, class: &str) -> Result<String, CallError> {
        match self {
            Self::Named(_, env) => remote.instance(class, env).await,
            Self::Own(_, instance) => remote.instance_by_name(class, instance).await,
        }
    }
}

pub(super) async fn request(
    remote: &mut Remote,
    invocation: &Invocation,
    request: Request,
    output: &mut String,
) -> Result<(), Failure> {
    let subject = Subject::of(invocation);
    let class = remote.job(subject.job()).await?;
    let instance = match subject {
        Subject::Named(_, env) => {
            let wait = invocation.wait();
            // A stopped instance is gone, and then nothing tells its path any more.
            let before = match request {
                Request::Stop => Some(remote.instance(&class, env).await?),
                Request::Start | Request::Restart => None,
            };
            let after = remote.request(&class, request, env, wait).await?;
            after.or(before)
        }
        Subject::Own(_, ref name) => {
            let path = remote.instance_by_name(&class, name).await?;
            // Whoever waits for its own job would wait for itself.
            remote.request_instance(&path, request, false).await?;
            Some(path)
        }
    };
    let state = match instance {
        Some(path) => remote.state(&path).await?,
        None => None,
    };
    output.push_str(&describe(subject.job(), state.as_ref()));
    Ok(())
}

pub(super) async fn reload(remote: &mut Remote, invocation: &Invocation) -> Result<(), Failure> {
    let subject = Subject::of(invocation);
    let class = remote.job(subject.job()).await?;
    let path = subject.path(remote, &class).await?;
    Ok(remote.reload(&path).await?)
}

pub(super) async fn status(remote: &mut Remote, invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    let subject = Subject::of(invocation);
    let class = remote.job(subject.job()).await?;
    let state = match subject.path(remote, &class).await {
        Ok(path) => remote.state(&path).await?,
        Err(CallError::Refused(refusal)) if refusal.name == UNKNOWN_INSTANCE && subject.is_singleton() => None,
        Err(error) => return Err(error.into()),
    };
    output.push_str(&describe(subject.job(), state.as_ref()));
    Ok(())
}

/// Three rounds of messages, however many jobs there are.
pub(super) async fn list(remote: &mut Remote, output: &mut String) -> Result<(), Failure> {
    let classes = remote.all_jobs().await?;
    let instances = remote.instances_of(&classes).await?;
    let mut states = remote.states(&instances.concat()).await?.into_iter();
    for (class, instances) in classes.iter().zip(&instances) {
        let name = class_name(class).unwrap_or_else(|| class.clone());
        let states: Vec<_> = states.by_ref().take(instances.len()).flatten().collect();
        if states.is_empty() {
            output.push_str(&describe(&name, None));
        }
        for state in &states {
            output.push_str(&describe(&name, Some(state)));
        }
    }
    Ok(())
}

pub(super) async fn usage(remote: &mut Remote, invocation: &Invocation, output: &mut String) -> Result<(), Failure> {
    let class = remote.job(invocation.first("job name")?).await?;
    let usage = remote.text_property(&class, JOB, "usage").await?;
    output.push_str("Usage: ");
    output.push_str(&usage);
    output.push('\n');
    Ok(())
}
