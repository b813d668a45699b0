//! What many ask at the same time, answered together: while one round trip is under way, whoever comes next is gathered,
//! and all of those are the next round trip. Nobody waits for company: who finds nothing under way goes at once.
//!
//! What is asked, and what an answer is, is the caller's; this knows neither.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;

use crate::telemetry::statements::carried;

/// Gathers questions.
pub struct Gatherer<Question, Answer> {
    waiting: Mutex<Vec<Asked<Question, Answer>>>,
    turns: Arc<Semaphore>,
    at_most: usize,
}

struct Asked<Question, Answer> {
    question: Question,
    teller: oneshot::Sender<Answer>,
}

impl<Question, Answer> Gatherer<Question, Answer>
where
    Question: Send + 'static,
    Answer: Send + 'static,
{
    /// Up to `at_most` questions are answered together, and `turns` such askings are under way at once.
    #[must_use]
    pub fn new(turns: usize, at_most: usize) -> Self {
        Self { waiting: Mutex::default(), turns: Arc::new(Semaphore::new(turns)), at_most }
    }

    /// Asks, alone or together with others. `answer` gives each question its answer, in their order; it comes to its
    /// end also when whoever asked goes away meanwhile. `None` where it gave none, or panicked. Its statements count for
    /// whoever begins it.
    pub async fn ask<Answering>(
        &self,
        question: Question,
        answer: impl Fn(Vec<Question>) -> Answering,
    ) -> Option<Answer>
    where
        Answering: Future<Output = Vec<Answer>> + Send + 'static,
    {
        let (teller, mut told) = oneshot::channel();
        self.waiting().push(Asked { question, teller });
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut told => return answer.ok(),
                // Nobody closes it.
                turn = Arc::clone(&self.turns).acquire_owned() => turn.ok()?,
            };
            let (questions, tellers) = self.take();
            if questions.is_empty() {
                // Others have taken this question along.
                drop(turn);
                return told.await.ok();
            }
            let answering = answer(questions);
            let asking = async move {
                let answers = answering.await;
                for (teller, answer) in tellers.into_iter().zip(answers) {
                    // Whoever has gone away needs none.
                    let _ = teller.send(answer);
                }
                drop(turn);
            };
            tokio::spawn(carried(asking).in_current_span());
        }
    }

    /// Those who came first and are still there.
    fn take(&self) -> (Vec<Question>, Vec<oneshot::Sender<Answer>>) {
        let mut waiting = self.waiting();
        waiting.retain(|asked| !asked.teller.is_closed());
        let at_most = self.at_most.min(waiting.len());
        waiting.drain(..at_most).map(|Asked { question, teller }| (question, teller)).unzip()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Asked<Question, Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::sync::Barrier;

    use super::*;

    /// Doubles, and says how many were asked together.
    async fn double(questions: Vec<u32>) -> Vec<(u32, usize)> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        questions.iter().map(|question| (question * 2, questions.len())).collect()
    }

    #[tokio::test]
    async fn who_comes_alone_goes_at_once() {
        let gatherer = Gatherer::new(1, 10);
        assert_eq!(gatherer.ask(4, double).await, Some((8, 1)));
        assert_eq!(gatherer.ask(5, double).await, Some((10, 1)));
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_go_together_and_each_gets_its_own_answer() {
        let gatherer = Gatherer::new(1, 3);
        let answers = join_all((0..8).map(|question| gatherer.ask(question, double))).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(answers.iter().map(|(doubled, _)| *doubled).collect::<Vec<_>>(), [0, 2, 4, 6, 8, 10, 12, 14]);
        let together: Vec<_> = answers.iter().map(|(_, together)| *together).collect();
        assert_eq!(together.iter().max(), Some(&3), "{together:?}");
    }

    #[tokio::test]
    async fn an_asking_comes_to_its_end_without_who_began_it() {
        let gatherer = Arc::new(Gatherer::new(1, 10));
        let begun = Arc::new(Barrier::new(2));
        let at_the_barrier = Arc::clone(&begun);
        let answer = move |questions: Vec<u32>| {
            let begun = Arc::clone(&at_the_barrier);
            async move {
                begun.wait().await;
                double(questions).await
            }
        };
        let asking = Arc::clone(&gatherer);
        let first = tokio::spawn(async move { asking.ask(1, answer).await });
        begun.wait().await;
        first.abort();
        assert_eq!(gatherer.ask(2, double).await, Some((4, 1)), "the turn is given back");
    }

    #[tokio::test]
    async fn a_question_whose_asker_has_gone_is_not_asked() {
        let gatherer = Gatherer::new(1, 10);
        let impatient = tokio::time::timeout(Duration::from_millis(5), gatherer.ask(2, double));
        let (first, given_up) = tokio::join!(gatherer.ask(1, double), impatient);
        assert_eq!((first, given_up.is_err()), (Some((2, 1)), true));
        assert_eq!(gatherer.ask(3, double).await, Some((6, 1)));
    }

    #[tokio::test]
    async fn a_panic_is_no_answer_and_keeps_nobody_from_asking() {
        let gatherer = Gatherer::<u32, u32>::new(1, 10);
        let panicking = |_| async { panic!("on purpose") };
        assert_eq!(gatherer.ask(1, panicking).await, None);
        assert_eq!(gatherer.ask(1, |questions| async { questions }).await, Some(1));
    }
}
