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
        upgrade = .requested
        if batch != nil { log(.notice, "the new executable waits for workers that are starting") }
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

    /// Takes the next step, once nothing is under way that the state does not know.
    mutating func continueUpgrade() {
        guard batch == nil, ending == nil else { return }
        switch upgrade {
        case .none, .checking, .replacing: break
        case .requested:
            upgrade = .checking
            act(.checkExecutable(state))
        case .wanted:
            upgrade = .replacing
            act(.replaceImage(state))
        }
    }
}
