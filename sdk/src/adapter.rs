//! Between the generated trait and the author's.

use std::marker::PhantomData;

use crate::bindings::exports::hm::backend::execution_backend::{Guest, RunningBuild};
use crate::bindings::hm::backend::types::{BackendError, Description, RunRequest};
use crate::bindings::{wit_future, wit_stream};
use crate::events::fit_error;
use crate::log::install;
use crate::platform::EventWriter;
use crate::{Backend, Cancellation, EventSink};

/// Turns a [`Backend`] into what the component exports; [`export!`](crate::export) names it.
#[derive(Debug)]
pub struct Adapter<B>(PhantomData<B>);

impl<B: Backend> Guest for Adapter<B> {
    fn describe() -> Description {
        install();
        B::describe()
    }

    async fn start(request: RunRequest) -> Result<RunningBuild, BackendError> {
        install();
        B::check(&request).await.map_err(fit_error)?;
        let (events_writer, events) = wit_stream::new();
        // The default is what the host reads if the task below is dropped half-way.
        let (outcome_writer, outcome) =
            wit_future::new(|| Err(BackendError::Other("the backend went away".into())));
        wit_bindgen::spawn_local(async move {
            let sink = EventSink::new(EventWriter(events_writer));
            let verdict = B::run(request, sink.clone(), Cancellation::new()).await;
            sink.close().await;
            // The host may have stopped listening; there is nobody left to tell.
            let _ = outcome_writer.write(verdict.map_err(fit_error)).await;
        });
        Ok(RunningBuild { events, outcome })
    }
}
