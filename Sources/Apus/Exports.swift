// The contract comes along, and the limits that a configuration has, so that an embedder needs this one import.
@_exported import ApusGateway

@_exported import struct ApusHTTP.Limits
