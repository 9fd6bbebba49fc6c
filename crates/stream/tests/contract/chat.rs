//! A protocol whose connections write to each other, in any worker.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use aquatic_stream::{
    Batch, ConnectionId, Exchange, Inbox, Next, Outputs, Peer, Progress, Protocol, Unreachable,
    WorkerWaker,
};

/// How many items an inbox may hold.
pub(crate) const MAX_ITEMS: usize = 100;

/// Answers lines:
///
/// | line | what happens |
/// |---|---|
/// | `tell I X` | the connection that was opened as the I-th gets `X` |
/// | `flood I N` | that connection gets N lines of 1,000 bytes |
/// | `end` | closes |
///
/// Each is answered with `ok`, `gone` or `full`.
pub(crate) struct Chat {
    worker: usize,
    house: Arc<House>,
    batch: Batch<ConnectionId>,
}

/// What the workers share.
#[derive(Default)]
pub(crate) struct House {
    /// The worker and the id of each connection, in the order in which they were opened.
    opened: Mutex<Vec<(usize, ConnectionId)>>,
    inboxes: OnceLock<Vec<Inbox<ConnectionId>>>,
}

impl House {
    /// In which worker a connection is.
    pub(crate) fn worker_of(&self, index: usize) -> Option<usize> {
        let opened = self.opened.lock().unwrap();
        opened.get(index).map(|(worker, _)| *worker)
    }
}

impl Chat {
    pub(crate) fn new(worker: usize, wakers: &[WorkerWaker], house: &Arc<House>) -> Self {
        house.inboxes.get_or_init(|| {
            let inbox = |waker: &WorkerWaker| Inbox::new(waker.clone(), MAX_ITEMS, 1 << 20);
            wakers.iter().map(inbox).collect()
        });
        Self {
            worker,
            house: Arc::clone(house),
            batch: Batch::new(),
        }
    }

    fn tell(&self, to: usize, text: &[u8], others: &mut Outputs) -> &'static str {
        let Some(&(worker, id)) = self.house.opened.lock().unwrap().get(to) else {
            return "gone";
        };
        if worker == self.worker {
            return match others.of(id) {
                Ok(output) => {
                    output.extend_from_slice(text);
                    "ok"
                }
                Err(Unreachable::Gone) => "gone",
                Err(Unreachable::Full) => "full",
            };
        }
        let inboxes = self.house.inboxes.get().unwrap();
        match inboxes[worker].put(id, |bytes| bytes.extend_from_slice(text)) {
            Ok(()) => "ok",
            Err(_) => "full",
        }
    }
}

impl Protocol for Chat {
    type Connection = ();

    const COLLECTS_OUTPUT: bool = true;

    fn max_input_bytes(&self) -> usize {
        1024
    }

    fn open(&mut self, _: &Peer, id: ConnectionId) {
        assert_eq!(ConnectionId::from_bits(id.to_bits()), id);
        self.house.opened.lock().unwrap().push((self.worker, id));
    }

    fn receive(&mut self, (): &mut (), exchange: &mut Exchange<'_>) -> Progress {
        let Some(end) = exchange.input.iter().position(|byte| *byte == b'\n') else {
            return Progress::INCOMPLETE;
        };
        let line = std::str::from_utf8(&exchange.input[..end]).unwrap();
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let (answer, next) = match words[..] {
            ["tell", to, text] => {
                let text = format!("{text}\n");
                let to = to.parse().unwrap();
                (
                    self.tell(to, text.as_bytes(), exchange.others),
                    Next::Continue,
                )
            }
            ["flood", to, count] => {
                let text = format!("{}\n", "x".repeat(999));
                let to = to.parse().unwrap();
                let mut answer = "ok";
                for _ in 0..count.parse().unwrap() {
                    answer = self.tell(to, text.as_bytes(), exchange.others);
                }
                (answer, Next::Continue)
            }
            _ => ("bye", Next::Close),
        };
        exchange.output.extend_from_slice(answer.as_bytes());
        exchange.output.push(b'\n');
        Progress {
            consumed: end + 1,
            next,
        }
    }

    fn woken(&mut self, _: Instant, outputs: &mut Outputs) {
        let inboxes = self.house.inboxes.get().unwrap();
        inboxes[self.worker].take(&mut self.batch);
        for (id, text) in self.batch.iter() {
            if let Ok(output) = outputs.of(*id) {
                output.extend_from_slice(text);
            }
        }
    }
}
