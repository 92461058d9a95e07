//! A listing while it arrives: its directories, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use llem_store::{Expected, Interrupt, Kind, Result, Step};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use super::order::{Answer, Directory, Order, Question};
use crate::client::{Client, Page};
use crate::runtime::{self, block_on};

/// Keys that are held before those in order are released.
pub const HELD: usize = 32 << 10;

/// The directories of a root, in the order of the components of their paths.
pub struct Directories {
    client: Client,
    first: Option<Page>,
    pages: Receiver<Page>,
    listed: Option<JoinHandle<Result<()>>>,
    order: Order,
    ready: VecDeque<(String, Directory)>,
    kind: Kind,
    expected: Arc<Expected>,
}

impl Directories {
    /// Begin to list a root, and wait for the first answer.
    ///
    /// # Errors
    ///
    /// The root cannot be listed.
    pub fn begin(client: &Client, kind: Kind, held: usize, interrupt: Interrupt<'_>) -> Result<Self> {
        let (mut pages, mut listed) = client.start_list()?;
        let first = block_on(
            async move {
                let first = pages.recv().await;
                // The end of the pages is that of the listing, or its failure.
                if first.is_none() {
                    (&mut listed).await.map_err(|_| runtime::lost())??;
                    return Ok((None, pages, None));
                }
                Ok((first, pages, Some(listed)))
            },
            interrupt,
        );
        let (first, pages, listed) = first?;
        let (order, ready) = (Order::new(held), VecDeque::new());
        Ok(Self {
            client: client.clone(),
            first,
            pages,
            listed,
            order,
            ready,
            kind,
            expected: Arc::default(),
        })
    }

    /// Return the number of results, known once the listing has ended.
    pub fn expected(&self) -> Arc<Expected> {
        self.expected.clone()
    }

    /// Return the next directory; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<(String, Directory)>> {
        loop {
            if let Some(directory) = self.ready.pop_front() {
                return Ok(Some(directory));
            }
            let page = match self.first.take() {
                Some(page) => Some(page),
                None => self.pages.recv().await,
            };
            let Some(page) = page else {
                if let Some(listed) = self.listed.take() {
                    listed.await.map_err(|_| runtime::lost())??;
                }
                let rest = self.order.finish();
                self.hold(rest);
                self.expected.end();
                return Ok(self.ready.pop_front());
            };
            for (key, found) in page {
                self.order.push(key, found);
            }
            if self.order.is_full() {
                self.release().await;
            }
        }
    }

    fn hold(&mut self, directories: Vec<(String, Directory)>) {
        self.expected
            .add(directories.iter().filter(|(_, found)| found.files.contains_key(self.kind.file())).count());
        self.ready.extend(directories);
    }

    async fn release(&mut self) {
        loop {
            let question = match self.order.release() {
                Ok(released) => return self.hold(released),
                Err(question) => question,
            };
            let answer = match &question {
                Question::File(key) => {
                    let found = self.client.head(Step::Scan, key).await;
                    found.map(|found| found.map_or(Answer::Absent, Answer::File))
                }
                Question::Directory(place) => {
                    let found = self.client.has_directory(place).await;
                    found.map(|found| if found { Answer::Directory } else { Answer::Absent })
                }
            };
            match answer {
                Ok(answer) => self.order.answer(question, answer),
                // The listing goes on without it: it may need another permission.
                Err(_) => return self.order.hold_all(),
            }
        }
    }
}
