// The contract comes along, and what a configuration consists of, so that an embedder needs this one import.
@_exported import ApusGateway

@_exported import struct ApusHTTP.Limits
@_exported import struct ApusHTTP.WebSocketOptions
