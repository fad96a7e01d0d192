import Apus
import ApusTransport

extension GivenSettings {
    /// Worker processes, and what the process is among others.
    func supervisor() throws(ConfigurationError) -> SupervisorSettings {
        var settings = SupervisorSettings()
        settings.user = setting(options.process.user, "user")?.text
        settings.group = setting(options.process.group, "group")?.text
        settings.pidFile = try setting(options.process.pid, "pid", "pid-file")?.path()
        guard let workers = try setting(options.workers.workers, "workers")?.workers() else {
            try refuseWorkerSettings()
            return settings
        }
        settings.workers = workers
        settings.maxWorkers = try maxWorkers(from: workers)
        try setEnds(of: &settings)
        settings.pinsWorkers = try setting(options.workers.pinWorkers, "pin-workers")?.isOn() ?? false
        settings.statusSocket = try statusSocket?.statusSocket() ?? .usual
        return settings
    }

    private var statusSocket: Setting? { setting(options.workers.statusSocket, "status-socket") }

    private func maxWorkers(from workers: Int) throws(ConfigurationError) -> Int {
        guard let given = setting(options.workers.maxWorkers, "max-workers") else {
            return min(max(workers, ProcessFacts.cores()), SupervisorSettings.mostWorkers)
        }
        let number = try given.number(from: 1, to: SupervisorSettings.mostWorkers)
        guard number >= workers else { throw given.error("\(number) is less than the \(workers) of --workers") }
        return number
    }

    /// When a worker is replaced.
    private func setEnds(of settings: inout SupervisorSettings) throws(ConfigurationError) {
        let given = options.workers
        if let timeout = setting(given.workerTimeout, "worker-timeout") {
            settings.workerTimeout = try timeout.seconds()
            guard settings.workerTimeout > 0 else { throw timeout.error("no worker answers within no time") }
        }
        let requests = try setting(given.maxRequests, "max-requests", "limit-max-requests")?.number(from: 0)
        settings.maxRequests = requests.flatMap { $0 > 0 ? $0 : nil }
        if let jitter = setting(given.maxRequestsJitter, "max-requests-jitter", "limit-max-requests-jitter") {
            settings.maxRequestsJitter = try jitter.number(from: 0)
            guard settings.maxRequests != nil || settings.maxRequestsJitter == 0 else {
                throw jitter.error("there is no --max-requests that it belongs to")
            }
        }
        let age = try setting(given.workerMaxAge, "worker-max-age", "workers-lifetime")?.seconds()
        settings.maxAge = age.flatMap { $0 > 0 ? $0 : nil }
        if let memory = setting(given.workerMaxMemory, "worker-max-memory", "workers-max-rss") {
            settings.maxMemory = try maxMemory(memory)
        }
    }

    /// Less than any worker has would replace it again and again.
    private func maxMemory(_ setting: Setting) throws(ConfigurationError) -> Int? {
        let (bytes, least) = (try setting.mebibytes(), SupervisorSettings.leastMaxMemory)
        guard bytes == 0 || bytes >= least else {
            throw setting.error("'\(setting.text)' is too little: a worker needs up to \(least >> 20) MiB for itself")
        }
        return bytes > 0 ? bytes : nil
    }

    /// What is meant for workers does nothing without them.
    private func refuseWorkerSettings() throws(ConfigurationError) {
        let given = options.workers
        let settings = [
            setting(given.maxWorkers, "max-workers"), setting(given.workerTimeout, "worker-timeout"),
            setting(given.maxRequests, "max-requests", "limit-max-requests"),
            setting(given.maxRequestsJitter, "max-requests-jitter", "limit-max-requests-jitter"),
            setting(given.workerMaxAge, "worker-max-age", "workers-lifetime"),
            setting(given.workerMaxMemory, "worker-max-memory", "workers-max-rss"),
            setting(given.pinWorkers, "pin-workers"), statusSocket,
        ]
        if let stray = settings.compactMap(\.self).first {
            throw stray.error("is for workers, and there are none without --workers")
        }
    }
}
