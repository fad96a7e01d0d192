// The contract comes along, so that an application's file needs this one import.
@_exported import ApusGateway
