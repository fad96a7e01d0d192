/// The handlers of the registered descriptors, in slots that are reused.
///
/// A slot's generation changes when it is given up, so that an event that epoll had already reported for
/// its former owner finds nobody.
struct RegistrationTable {
    private struct Slot {
        var generation: UInt32 = 0
        var handler: (any EventHandler)?
    }

    private var slots: ContiguousArray<Slot> = []
    private var free: ContiguousArray<UInt32> = []

    mutating func insert(_ handler: any EventHandler) -> Registration {
        if let index = free.popLast() {
            slots[Int(index)].handler = handler
            return Registration(index: index, generation: slots[Int(index)].generation)
        }
        slots.append(Slot(handler: handler))
        return Registration(index: UInt32(slots.count - 1), generation: 0)
    }

    func handler(of registration: Registration) -> (any EventHandler)? {
        let index = Int(registration.index)
        guard index < slots.count, slots[index].generation == registration.generation else { return nil }
        return slots[index].handler
    }

    /// Frees the slot and gives back its handler, so that the caller chooses when it may die; nil where
    /// the registration is no longer valid.
    mutating func remove(_ registration: Registration) -> (any EventHandler)? {
        guard let handler = handler(of: registration) else { return nil }
        let index = Int(registration.index)
        slots[index].handler = nil
        slots[index].generation &+= 1
        free.append(registration.index)
        return handler
    }

    /// Frees every slot and gives back the handlers.
    mutating func removeAll() -> [any EventHandler] {
        var handlers: [any EventHandler] = []
        for index in slots.indices where slots[index].handler != nil {
            let registration = Registration(index: UInt32(index), generation: slots[index].generation)
            if let handler = remove(registration) { handlers.append(handler) }
        }
        return handlers
    }
}
