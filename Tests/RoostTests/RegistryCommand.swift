import Registry

/// The state machine's command: where the command line is imported, too, `Command` means both.
typealias RegistryCommand = Command
