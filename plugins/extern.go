package plugins

import "github.com/pquic-go/pquic/protoops"

// Call runs, for the application, an operation that the plugin brought: one in a
// section extern/NAME or declare/NAME. It is called by the connection's owner:
// from hoststack's Conn.Do, say. It returns the result words, which are valid
// until the operation runs again.
//
// Errors are ErrDetached, protoops.ErrUnknownOp if the plugin has no such
// operation, protoops.ErrTooMany, or a *protoops.PlugletError if it failed.
func (in *Instance) Call(name string, args []uint64, bytes ...[]byte) ([]uint64, error) {
	if !in.Attached() {
		return nil, ErrDetached
	}
	for i := range in.plugin.programs {
		if g := &in.plugin.programs[i]; g.Declares && g.Key.Name == name {
			return protoops.CallExtern(in.conn.Operations(), in.conn, g.Key, args, bytes...)
		}
	}
	return nil, protoops.ErrUnknownOp
}
