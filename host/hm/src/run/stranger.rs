//! A backend of somebody else: read, held against the pin and the user's grants, and only then
//! made into code.

use std::sync::Arc;

use hm_exec::{
    ComponentBackend, ComponentSource, Grants, ImageMap, ImagePolicy, Inspection, Interface,
    Limits, Runtime, SourceGrant,
};
use hm_plugin_protocol::Network;
use hm_vm::{MachineOptions, Subsystem};

use super::backend::{
    Ready, Stranger, Surroundings, engine_name, http_network, load_failure, load_failure_of,
    runtime, undone,
};
use super::{machines, question};
use crate::consent::{self, Answer, Credentials, Grant, GrantFile, Need, VmNeed};
use crate::failure::{Exit, Failure};
use crate::lock::{Lock, Pin};

impl Surroundings<'_> {
    /// Loads a component of somebody else, asks the user where that is needed, and gives it
    /// what is granted.
    ///
    /// # Errors
    /// As [`prepare`](super::backend::prepare). Nothing that was begun goes on.
    pub(super) fn stranger(
        &self,
        stranger: &Stranger,
        network: Option<Network>,
    ) -> Result<Ready, Failure> {
        let mut begun = None;
        self.ready(stranger, network, &mut begun)
            .map_err(|failure| undone(failure, begun.as_deref()))
    }

    fn ready(
        &self,
        stranger: &Stranger,
        network: Option<Network>,
        begun: &mut Option<Arc<Subsystem>>,
    ) -> Result<Ready, Failure> {
        let runtime = runtime(self.folders, self.settings)?;
        let file = runtime
            .read(&ComponentSource::File(stranger.file.clone()))
            .map_err(load_failure)?;
        let digest = file.digest();
        let pin = self.pin(stranger)?;
        let changed = pin.filter(|pin| pin.digest() != digest);
        let grants = GrantFile::read(self.folders)?;
        if changed.is_none() && grants.lends_machines(&digest, self.root) {
            // As for the built-in backend: what the first machine needs starts meanwhile. What
            // cannot is told below, by who asks for it.
            *begun = self.begin().ok();
        }
        let examined = runtime.examine(file).map_err(load_failure)?;
        if let Some(pin) = changed {
            return Err(self.changed(&pin, stranger, examined.inspection(), &runtime));
        }
        let grant = self.consent(stranger, examined.inspection(), network, grants)?;
        let limits = grant
            .limited(runtime.limits().clone())
            .map_err(Failure::usage)?;
        // No code is made of a file that nobody allowed.
        let loaded = runtime
            .compile(examined, &limits)
            .map_err(|error| load_failure_of(error, Some(&digest)))?;
        let grants = self.grants(loaded.inspection(), &grant, &limits, network, begun)?;
        let grants = Grants { limits, ..grants };
        let backend = ComponentBackend::new(&runtime, stranger.name.clone(), &loaded, grants)
            .map_err(|error| load_failure_of(error, Some(&digest)))?;
        Ok(Ready {
            backend: Box::new(backend),
            digest: Some(digest),
            subsystem: begun.clone(),
        })
    }

    fn begin(&self) -> Result<Arc<Subsystem>, Failure> {
        machines::open(self.folders, self.settings, None).map(Arc::new)
    }

    /// Returns what the repository pinned for this component.
    fn pin(&self, stranger: &Stranger) -> Result<Option<Pin>, Failure> {
        let lock = Lock::read(self.root)?;
        let name = stranger.is_repositorys.then_some(stranger.name.as_str());
        Ok(lock.pin(self.root, name, &stranger.file).cloned())
    }

    /// Says how a component differs from what the repository pinned.
    fn changed(
        &self,
        pin: &Pin,
        stranger: &Stranger,
        now: &Inspection,
        runtime: &Runtime,
    ) -> Failure {
        let gained = match runtime.remembered_imports(&pin.digest()) {
            None => "its imports cannot be compared: this hm has not run the pinned one".into(),
            Some(before) => {
                let new: Vec<_> = now
                    .imports
                    .iter()
                    .filter(|import| !before.contains(import))
                    .map(|import| hm_render::clean_line(import).into_owned())
                    .collect();
                match new.as_slice() {
                    [] => "its imports gained nothing".to_owned(),
                    new => format!("its imports gained {}", new.join(", ")),
                }
            }
        };
        let asks: Vec<_> = now.asks.iter().map(|interface| interface.name()).collect();
        let name = hm_render::clean_line(&pin.name);
        Failure::new(
            Exit::Denied,
            format!(
                "the component of the backend `{}` is not the one that hm.lock pins\n\
                 pinned    {}\nfound     {}\n{gained}\nasks for  {}",
                hm_render::clean_line(&stranger.name),
                pin.digest(),
                now.digest,
                if asks.is_empty() {
                    "nothing but to run".to_owned()
                } else {
                    asks.join(", ")
                },
            ),
        )
        .hint(if crate::lock::is_plain(&pin.name) {
            format!("if the change is meant:  hm backend lock {name}")
        } else {
            "if the change is meant, `hm backend lock` pins all backends anew".to_owned()
        })
    }

    /// Returns what the component imports of what was granted, and no more.
    fn grants(
        &self,
        inspection: &Inspection,
        grant: &Grant,
        limits: &Limits,
        network: Option<Network>,
        begun: &mut Option<Arc<Subsystem>>,
    ) -> Result<Grants, Failure> {
        let asks = |interface| inspection.asks.contains(&interface);
        let http = match &grant.http {
            Some(reach) if asks(Interface::Http) => {
                let credentials = Credentials::read(self.folders);
                let network = http_network(self.settings)?;
                Some(reach.grant(&inspection.digest, &credentials, network)?)
            }
            _ => None,
        };
        let vm = match grant.vm.as_ref().filter(|_| asks(Interface::Vm)) {
            Some(reach) => {
                // What a command of the backend's own prints may be the source.
                let may_read = grant.has(Interface::Source.name());
                let images = ImagePolicy::new(reach.images.iter().cloned());
                let machine = self.settings.machine(MachineOptions::for_strangers());
                let machine = grant.sized(machine, limits);
                let subsystem = match begun {
                    Some(begun) => begun.clone(),
                    None => begun.insert(self.begin()?).clone(),
                };
                let network = network.unwrap_or(reach.network);
                Some(self.vm(network, machine, may_read, images, subsystem))
            }
            None => None,
        };
        let source = match &vm {
            _ if !asks(Interface::Source) => None,
            Some(vm) => Some(vm.subsystem.state().clone()),
            None => Some(machines::state(self.folders)?),
        };
        Ok(Grants {
            vm,
            source: source.map(|state| SourceGrant { state }),
            http,
            secrets: grant.secrets.iter().cloned().collect(),
            ..Grants::default()
        })
    }

    /// Returns the grant that holds for this run.
    fn consent(
        &self,
        stranger: &Stranger,
        inspection: &Inspection,
        network: Option<Network>,
        mut grants: GrantFile,
    ) -> Result<Grant, Failure> {
        let need = Need {
            digest: &inspection.digest,
            root: self.root,
            interfaces: inspection
                .asks
                .iter()
                .map(|interface| interface.name())
                .collect(),
            vm: inspection
                .asks
                .contains(&Interface::Vm)
                .then(|| self.machines(network)),
            settings: consent::settings_digest(&stranger.from_repository),
            http: stranger.patterns(),
        };
        let refusal = match grants.covering(&need) {
            Ok(grant) => return Ok(grant.clone()),
            Err(refusal) => refusal,
        };
        let story = question::story(stranger, inspection, &need, refusal);
        if !self.terminal.can_ask {
            return Err(Failure::new(
                Exit::Denied,
                format!("{story}\n(no terminal: hm did not ask)"),
            )
            .hint(consent::command(&need)));
        }
        let mut once = Grant::of(&need, &stranger.name);
        // What was allowed here before stays.
        if let Some(known) = grants.grants().get(need.digest)
            && known.is_for(self.root)
        {
            let more = std::mem::replace(&mut once, known.clone());
            once.extend(more);
        }
        match consent::ask(&format!("{story}\n")) {
            Answer::Once => Ok(once),
            Answer::Grant => {
                grants.add(need.digest, Grant::of(&need, &stranger.name));
                grants.write()?;
                Ok(once)
            }
            Answer::No => Err(Failure::new(
                Exit::Denied,
                format!("backend `{}` was not allowed to run", stranger.name),
            )
            .hint(consent::command(&need))),
        }
    }

    /// Returns what machines the plan wants, as this run would make them.
    fn machines(&self, network: Option<Network>) -> VmNeed {
        let steps = self.plan.steps.iter().filter_map(|step| step.network);
        let map = ImageMap::new(self.settings.images());
        let images = self
            .plan
            .steps
            .iter()
            .filter_map(|step| step.image.as_deref());
        VmNeed {
            engine: engine_name(self.settings).to_owned(),
            images: images.map(|image| map.apply(image).to_owned()).collect(),
            network: steps
                .chain(network)
                .max_by_key(|network| consent::reach(*network))
                .unwrap_or(Network::None),
        }
    }
}
