import Logging

/// What a supervisor has to do next, in the order in which ``Supervision`` hands it out.
enum SupervisionAction: Equatable, Sendable {
    /// Start a worker in a slot that nobody reads; give it the newcomers of now.
    case spawn(id: Int, index: Int, slot: Int)
    /// Tell a worker to drain and leave; `isReloading`: others go on serving.
    case drain(id: Int, isReloading: Bool)
    /// SIGKILL.
    case kill(id: Int)
    /// Steer new connections to these slots: the programs of all groups, and a word to every worker.
    case steer(newcomers: [Int])
    /// Tell a worker to read a slot that has no worker.
    case adopt(slot: Int, by: Int)
    /// Tell a worker to stop reading a slot that it has adopted; ``SupervisionEvent/released(slot:by:)`` follows.
    case release(slot: Int, by: Int)
    /// Tell a worker whether it is the one that reads the shared UDP sockets.
    case reader(id: Int, isReader: Bool)
    /// Ask a worker whether its loop turns.
    case ping(id: Int, number: Int)
    /// A ping waits for its answer: hand over every message that the worker's socket holds, then find out how long its
    /// threads have waited for a core (``SupervisionEvent/examined(id:runDelay:)``), in the same turn.
    case examine(id: Int)
    /// A line for the log; it names the worker that it is about, whose number comes along.
    case log(Logger.Level, String, worker: Int?)

    /// Every worker of the start is ready: the banner. Once in a supervisor's life.
    case ready
    /// A reload has begun, or waits for the one before to end.
    case reloading
    /// No reload is under way any more; where the new workers did not start, the old ones serve.
    case reloaded(succeeded: Bool)
    /// Run the check of the new executable, which also has to understand this state.
    case checkExecutable(SupervisionState)
    /// Become the new executable, which continues from this state. Nothing follows unless it fails.
    case replaceImage(SupervisionState)
    /// The stop has begun.
    case stopping
    /// End the process. Nothing follows.
    case exit(code: Int32)
}
