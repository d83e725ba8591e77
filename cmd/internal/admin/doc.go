// Package admin lets an operator look at the connections of a running program
// and change their plugins, through a unix socket that only the program's user
// may open. Whoever can write to it can load code into the process.
//
// # Protocol
//
// A client sends one JSON object per line, a Request, and gets lines with one
// Reply each: any number of connections or pluglets, then an end or an error.
// Requests have at most maxRequest bytes, replies maxReply. What a connection
// refuses is told with the connection; the others go on.
//
// The object file of a plugin travels in the request, instead of its name: so a
// path means what it means to who types it, in whatever folder or container that
// is, and the program opens no file on anybody's behalf, for which it may have
// no permission, or permission that the user lacks.
//
// # Ownership
//
// Plugins are read, verified and compiled by the goroutine of the client.
// Everything that touches a connection runs on its worker, by Conn.Do of package
// hoststack.
//
// # To find X, open Y
//
//	requests, replies and errors     protocol.go
//	the socket                       socket.go
//	who asks                         server.go, client.go
//	what is asked for                operations.go
//	which connections there are      registry.go
//	plugins that were loaded         cache.go
package admin
