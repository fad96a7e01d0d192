import ApusHTTP
import Logging

// A new executable: checked first, then it continues from the state of this one.
extension Supervision {
    mutating func requestUpgrade() {
        guard ending == nil else { return }
        guard wasEverReady else {
            return log(.warning, "no new executable before a worker of this one is ready")
        }
        guard upgrade == .none else { return log(.notice, "a new executable is being checked already") }
        upgrade = .checking
        act(.checkExecutable(state))
    }

    mutating func executableChecked(_ isUsable: Bool, _ text: String) {
        guard upgrade == .checking else { return }
        if isUsable {
            upgrade = .wanted
        } else {
            upgrade = .none
            log(.error, "the new executable is not used: \(text)")
        }
    }

    mutating func imageNotReplaced(_ reason: String) {
        guard upgrade == .replacing else { return }
        upgrade = .none
        log(.error, "the new executable could not be started: \(reason); this one goes on")
    }

    /// Hands over, once nothing is under way that the state does not know: a batch, or a change of their number.
    mutating func continueUpgrade() {
        guard upgrade == .wanted, batch == nil, ending == nil else { return }
        upgrade = .replacing
        act(.replaceImage(state))
    }
}
