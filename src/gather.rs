//! What many ask at the same time, answered together: while one round trip is under way, whoever comes next is gathered,
//! and all of those are the next round trip. Nobody waits for company: who finds nothing under way goes as soon as those
//! who are here already have come along. Where a round trip takes long, later ones may overtake it.
//!
//! What is asked, and what an answer is, is the caller's; this knows neither.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::telemetry::statements::carried;

/// Gathers questions.
pub struct Gatherer<Question, Answer> {
    waiting: Mutex<Waiting<Question, Answer>>,
    turn: Arc<Semaphore>,
    overtaking: Option<(Overtaking, Arc<Semaphore>)>,
    at_most: usize,
}

/// What becomes of those who have waited for a turn: they go by whoever has it.
#[derive(Debug, Clone, Copy)]
pub struct Overtaking {
    /// So long they wait before.
    pub after: Duration,
    /// So many askings go by the first at once.
    pub at_most: usize,
}

struct Waiting<Question, Answer> {
    /// Those who came first are first.
    asked: Vec<Asked<Question, Answer>>,
    /// How many have come so far.
    came: u64,
}

struct Asked<Question, Answer> {
    number: u64,
    question: Question,
    teller: oneshot::Sender<Answer>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The question was not asked: its turn did not come in time.
    Withdrawn,
    /// It was asked, and nobody said what came of it.
    Lost,
}

impl<Question, Answer> Gatherer<Question, Answer>
where
    Question: Send + 'static,
    Answer: Send + 'static,
{
    /// Up to `at_most` questions are answered together; one such asking is under way at once.
    #[must_use]
    pub fn new(at_most: usize) -> Self {
        let waiting = Waiting { asked: Vec::new(), came: 0 };
        Self { waiting: Mutex::new(waiting), turn: Arc::new(Semaphore::new(1)), overtaking: None, at_most }
    }

    /// Lets those overtake who have waited for a turn.
    #[must_use]
    pub fn overtaking(self, overtaking: Overtaking) -> Self {
        Self { overtaking: Some((overtaking, Arc::new(Semaphore::new(overtaking.at_most)))), ..self }
    }

    /// Asks, alone or together with others, once a turn comes; a question that has waited for so long is withdrawn.
    /// `answer` gives each question its answer, in their order; it comes to its end also when whoever asked goes away
    /// meanwhile. Its statements count for whoever begins it.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask<Answering>(
        &self,
        question: Question,
        wait: Duration,
        answer: impl Fn(Vec<Question>) -> Answering,
    ) -> Result<Answer, Unanswered>
    where
        Answering: Future<Output = Vec<Answer>> + Send + 'static,
    {
        let (teller, mut told) = oneshot::channel();
        let number = self.waiting().push(question, teller);
        let in_vain = tokio::time::sleep(wait);
        tokio::pin!(in_vain);
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut told => return answer.map_err(|_| Unanswered::Lost),
                turn = self.turn() => turn.map_err(|_| Unanswered::Withdrawn)?,
                () = &mut in_vain => {
                    let is_withdrawn = self.waiting().withdraw(number);
                    if is_withdrawn {
                        return Err(Unanswered::Withdrawn);
                    }
                    // It is being asked.
                    return told.await.map_err(|_| Unanswered::Lost);
                }
            };
            // Others who are about to ask do so now.
            tokio::task::yield_now().await;
            let (questions, tellers) = self.waiting().take(self.at_most);
            if questions.is_empty() {
                // Others have taken this question along.
                drop(turn);
                return told.await.map_err(|_| Unanswered::Lost);
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
            tokio::spawn(carried(asking));
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let first = Arc::clone(&self.turn).acquire_owned();
        let Some((Overtaking { after, .. }, others)) = &self.overtaking else { return first.await };
        tokio::pin!(first);
        match tokio::time::timeout(*after, &mut first).await {
            Ok(turn) => turn,
            Err(_) => tokio::select! {
                biased;
                turn = first => turn,
                turn = Arc::clone(others).acquire_owned() => turn,
            },
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<Question, Answer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Question, Answer> Waiting<Question, Answer> {
    fn push(&mut self, question: Question, teller: oneshot::Sender<Answer>) -> u64 {
        self.came += 1;
        self.asked.push(Asked { number: self.came, question, teller });
        self.came
    }

    /// `false` where it is not here any more.
    fn withdraw(&mut self, number: u64) -> bool {
        let before = self.asked.len();
        self.asked.retain(|asked| asked.number != number);
        self.asked.len() < before
    }

    /// Those who came first and are still there.
    fn take(&mut self, at_most: usize) -> (Vec<Question>, Vec<oneshot::Sender<Answer>>) {
        self.asked.retain(|asked| !asked.teller.is_closed());
        let at_most = at_most.min(self.asked.len());
        self.asked.drain(..at_most).map(|Asked { question, teller, .. }| (question, teller)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::sync::Barrier;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Doubles, and says how many were asked together.
    async fn double(questions: Vec<u32>) -> Vec<(u32, usize)> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        questions.iter().map(|question| (question * 2, questions.len())).collect()
    }

    #[tokio::test]
    async fn who_comes_alone_goes_at_once() {
        let gatherer = Gatherer::new(10);
        assert_eq!(gatherer.ask(4, LONG, double).await, Ok((8, 1)));
        assert_eq!(gatherer.ask(5, LONG, double).await, Ok((10, 1)));
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_go_together_and_each_gets_its_own_answer() {
        let gatherer = Gatherer::new(3);
        let answers = join_all((0..8).map(|question| gatherer.ask(question, LONG, double))).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(answers.iter().map(|(doubled, _)| *doubled).collect::<Vec<_>>(), [0, 2, 4, 6, 8, 10, 12, 14]);
        let together: Vec<_> = answers.iter().map(|(_, together)| *together).collect();
        assert_eq!(together.iter().max(), Some(&3), "{together:?}");
    }

    #[tokio::test]
    async fn an_asking_comes_to_its_end_without_who_began_it() {
        let gatherer = Arc::new(Gatherer::new(10));
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
        let first = tokio::spawn(async move { asking.ask(1, LONG, answer).await });
        begun.wait().await;
        first.abort();
        assert_eq!(gatherer.ask(2, LONG, double).await, Ok((4, 1)), "the turn is given back");
    }

    #[tokio::test]
    async fn a_question_whose_asker_has_gone_is_not_asked() {
        let gatherer = Gatherer::new(10);
        let impatient = async {
            // The first one is under way.
            tokio::time::sleep(Duration::from_millis(5)).await;
            tokio::time::timeout(Duration::from_millis(5), gatherer.ask(2, LONG, double)).await
        };
        let (first, given_up) = tokio::join!(gatherer.ask(1, LONG, double), impatient);
        assert_eq!((first, given_up.is_err()), (Ok((2, 1)), true));
        assert_eq!(gatherer.ask(3, LONG, double).await, Ok((6, 1)));
    }

    #[tokio::test]
    async fn a_panic_is_no_answer_and_keeps_nobody_from_asking() {
        let gatherer = Gatherer::<u32, u32>::new(10);
        let panicking = |_| async { panic!("on purpose") };
        assert_eq!(gatherer.ask(1, LONG, panicking).await, Err(Unanswered::Lost));
        assert_eq!(gatherer.ask(1, LONG, |questions| async { questions }).await, Ok(1));
    }

    #[tokio::test]
    async fn a_question_whose_turn_does_not_come_in_time_is_withdrawn() {
        let gatherer = Gatherer::new(1);
        let in_vain = gatherer.ask(2, Duration::from_millis(5), double);
        let (first, withdrawn) = tokio::join!(gatherer.ask(1, LONG, double), in_vain);
        assert_eq!((first, withdrawn), (Ok((2, 1)), Err(Unanswered::Withdrawn)));
        // Once asked it is waited for.
        assert_eq!(gatherer.ask(3, Duration::from_millis(5), double).await, Ok((6, 1)));
    }
    #[tokio::test]
    async fn who_has_waited_for_a_turn_overtakes_and_no_more_than_may() {
        let overtaking = Overtaking { after: Duration::from_millis(1), at_most: 1 };
        let gatherer = Gatherer::new(1).overtaking(overtaking);
        let gates = [const { Semaphore::const_new(0) }; 3].map(Arc::new);
        let answer = |questions: Vec<usize>| {
            let gate = Arc::clone(&gates[questions[0]]);
            async move {
                gate.acquire().await.unwrap().forget();
                questions
            }
        };
        let asked = [0, 1, 2].map(|question| gatherer.ask(question, LONG, answer));
        let [mut first, mut second, mut third] = asked.map(Box::pin);
        let pending = tokio::time::timeout(Duration::from_millis(50), async {
            tokio::select! { biased; _ = &mut first => {}, _ = &mut second => {}, _ = &mut third => {} }
        });
        assert!(pending.await.is_err(), "all three wait");
        gates[2].add_permits(1);
        let in_vain = tokio::time::timeout(Duration::from_millis(20), &mut third);
        assert!(in_vain.await.is_err(), "two are under way");
        gates[1].add_permits(1);
        assert_eq!((second.await, third.await), (Ok(1), Ok(2)), "while the first is under way");
        gates[0].add_permits(1);
        assert_eq!(first.await, Ok(0));
    }
}
