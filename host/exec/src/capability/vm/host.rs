//! The generated traits: short visits to the store, the work elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, HasSelf, Resource, StreamReader};

use super::machine::{FileSystem, GuestMachine, GuestSnapshot, MachineEntry, SnapshotEntry};
use super::{CallError, VmFail, VmSession, run, wit};
use crate::capability::State;
use crate::capability::bytestream::Bytestream;
use crate::session::{Call, Session};

type Own = HasSelf<State>;
type Access<'a> = &'a Accessor<State, Own>;

/// What every call needs, taken in one visit to the store.
struct Visit {
    session: Arc<Session>,
    _call: Call,
}

impl Visit {
    fn vm(&self) -> Result<&VmSession, VmFail> {
        self.session
            .vm()
            .ok_or_else(|| wit::VmError::Denied("vm is not granted".into()).into())
    }
}

fn visit(accessor: Access<'_>) -> Result<Visit, VmFail> {
    accessor.with(|mut access| {
        let state = access.get();
        if state.is_describing {
            return Err(wit::VmError::Denied(
                "nothing is granted while a backend describes itself".into(),
            )
            .into());
        }
        let (session, call) = state.session.enter().map_err(VmFail::trap)?;
        Ok(Visit {
            session,
            _call: call,
        })
    })
}

fn machine(
    accessor: Access<'_>,
    this: &Resource<MachineEntry>,
) -> Result<Arc<GuestMachine>, VmFail> {
    accessor.with(|mut access| {
        Ok(access
            .get()
            .table
            .get(this)
            .map_err(VmFail::trap)?
            .0
            .clone())
    })
}

fn snapshot(
    accessor: Access<'_>,
    this: &Resource<SnapshotEntry>,
) -> Result<Arc<GuestSnapshot>, VmFail> {
    accessor.with(|mut access| {
        Ok(access
            .get()
            .table
            .get(this)
            .map_err(VmFail::trap)?
            .0
            .clone())
    })
}

fn push_machine(
    accessor: Access<'_>,
    machine: GuestMachine,
) -> Result<Resource<MachineEntry>, VmFail> {
    let entry = MachineEntry(Arc::new(machine));
    accessor
        .with(|mut access| access.get().table.push(entry))
        .map_err(full)
}

fn push_snapshot(
    accessor: Access<'_>,
    snapshot: GuestSnapshot,
) -> Result<Resource<SnapshotEntry>, VmFail> {
    let entry = SnapshotEntry(Arc::new(snapshot));
    accessor
        .with(|mut access| access.get().table.push(entry))
        .map_err(full)
}

fn full(_: wasmtime::component::ResourceTableError) -> VmFail {
    wit::VmError::Limit("host resources".into()).into()
}

impl wit::Host for State {
    fn convert_vm_error(&mut self, error: VmFail) -> wasmtime::Result<wit::VmError> {
        error.downcast()
    }
}

impl wit::HostSnapshot for State {
    fn id(&mut self, this: Resource<SnapshotEntry>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.0.id.clone())
    }

    fn drop(&mut self, this: Resource<SnapshotEntry>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::HostMachine for State {
    fn id(&mut self, this: Resource<MachineEntry>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.0.id.clone())
    }

    fn drop(&mut self, this: Resource<MachineEntry>) -> wasmtime::Result<()> {
        // The machine's own drop destroys it, in the background.
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::HostMachineWithStore<State> for Own {
    async fn boot_image(
        accessor: Access<'_>,
        step: u32,
        image: String,
        options: wit::MachineOptions,
    ) -> Result<Resource<MachineEntry>, VmFail> {
        let visit = visit(accessor)?;
        let vm = visit.vm()?;
        vm.check("boot-image", step).map_err(CallError::from)?;
        let session = visit.session.as_ref();
        let booting = async {
            let base = vm.image_base(session, &image).await?;
            let fs = FileSystem::Image(image);
            vm.boot(step, base, fs, BTreeSet::new(), &options).await
        };
        let machine = visit.session.unless_cancelled(booting).await?;
        push_machine(accessor, machine)
    }

    async fn boot_snapshot(
        accessor: Access<'_>,
        step: u32,
        of: Resource<SnapshotEntry>,
        options: wit::MachineOptions,
    ) -> Result<Resource<MachineEntry>, VmFail> {
        let visit = visit(accessor)?;
        let vm = visit.vm()?;
        vm.check("boot-snapshot", step).map_err(CallError::from)?;
        let of = snapshot(accessor, &of)?;
        let base = hm_vm::Base::Snapshot(of.snapshot.clone());
        let booting = vm.boot(step, base, of.fs.clone(), of.secrets.clone(), &options);
        let machine = visit.session.unless_cancelled(booting).await?;
        push_machine(accessor, machine)
    }

    async fn run(
        accessor: Access<'_>,
        this: Resource<MachineEntry>,
        step: u32,
    ) -> Result<wit::ExecStatus, VmFail> {
        let visit = visit(accessor)?;
        let machine = machine(accessor, &this)?;
        Ok(run::run(&visit.session, visit.vm()?, machine, step).await?)
    }

    async fn exec(
        accessor: Access<'_>,
        this: Resource<MachineEntry>,
        spec: wit::ExecSpec,
    ) -> Result<wit::RunningExec, VmFail> {
        let visit = visit(accessor)?;
        let vm = visit.vm()?;
        if !vm.grant.exec {
            let text = "exec hands output to the backend, for which `source` must be granted too";
            return Err(wit::VmError::Denied(text.into()).into());
        }
        let machine = machine(accessor, &this)?;
        let started = visit
            .session
            .unless_cancelled(super::exec::exec(vm, machine, spec))
            .await?;
        let session = visit.session.clone();
        let awaited = session.awaits();
        let status = async move {
            let _awaited = awaited;
            Ok::<_, wasmtime::Error>(tokio::select! {
                _ = session.cancelled() => Err(wit::VmError::Cancelled),
                status = started.status => status,
            })
        };
        accessor.with(|mut access| {
            Ok(wit::RunningExec {
                output: StreamReader::new(&mut access, Bytestream(started.output))
                    .map_err(VmFail::trap)?,
                status: FutureReader::new(&mut access, status).map_err(VmFail::trap)?,
            })
        })
    }

    async fn snapshot(
        accessor: Access<'_>,
        this: Resource<MachineEntry>,
    ) -> Result<Resource<SnapshotEntry>, VmFail> {
        let visit = visit(accessor)?;
        let machine = machine(accessor, &this)?;
        let frozen = visit
            .session
            .unless_cancelled(machine.freeze(visit.vm()?))
            .await?;
        push_snapshot(accessor, frozen)
    }
}

impl wit::HostWithStore<State> for Own {
    async fn cache_lookup(
        accessor: Access<'_>,
        step: u32,
        parent: Option<Resource<SnapshotEntry>>,
    ) -> Result<Option<Resource<SnapshotEntry>>, VmFail> {
        let visit = visit(accessor)?;
        let vm = visit.vm()?;
        vm.check("cache-lookup", step).map_err(CallError::from)?;
        let parent = parent
            .map(|parent| snapshot(accessor, &parent))
            .transpose()?;
        let parent = parent.as_ref().map(|parent| &parent.fs);
        let looking = vm.lookup(&visit.session, step, parent);
        let Some((key, found)) = visit.session.unless_cancelled(looking).await? else {
            return Ok(None);
        };
        let found = GuestSnapshot::new(found, FileSystem::After(step), vm.secrets_up_to(step));
        visit
            .session
            .ledger()
            .hit(step, key, found.snapshot.id().to_owned());
        push_snapshot(accessor, found).map(Some)
    }

    async fn cache_store(
        accessor: Access<'_>,
        step: u32,
        of: Resource<SnapshotEntry>,
    ) -> Result<(), VmFail> {
        let visit = visit(accessor)?;
        let vm = visit.vm()?;
        vm.check("cache-store", step).map_err(CallError::from)?;
        let of = snapshot(accessor, &of)?;
        if visit
            .session
            .unless_cancelled(vm.store(&visit.session, step, &of))
            .await?
        {
            visit
                .session
                .ledger()
                .kept(step, of.snapshot.id().to_owned());
        }
        Ok(())
    }
}
