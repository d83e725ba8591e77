package admin

import (
	"crypto/sha256"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/standard"
)

// maxLoaded is how many plugins are kept compiled.
const maxLoaded = 32

// A loaded plugin counts who uses it.
type loaded struct {
	*plugins.Plugin
	users atomic.Int64 // connections and requests; rises from 0 under the cache's mutex only
}

// A hash names the content of an object file.
type hash [sha256.Size]byte

// A cache keeps the plugins that were attached, by what their files hold, so
// that each is verified and compiled once.
type cache struct {
	engine string

	mu   sync.Mutex
	list map[hash]*loaded
}

// get loads the plugin of a request. Whoever got it is one of its
// users, until it counts itself out.
func (k *cache) get(r *Request) (*loaded, error) {
	file, object := r.Plugin, r.Object
	if object == nil {
		b, ok := standard.Object(r.Plugin)
		if !ok {
			return nil, errorf(CodePlugin, "plugin %.80q is not compiled in: there are %s; a file is sent as \"object\"", r.Plugin, strings.Join(standard.Names(), ", "))
		}
		file, object = r.Plugin+".o", b
	}
	h := hash(sha256.Sum256(object))
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.list[h]; p != nil {
		p.users.Add(1)
		return p, nil
	}
	if !k.makeRoom() {
		return nil, errorf(CodePlugin, "%d plugins are attached through this socket, no more fit: detach one first", maxLoaded)
	}
	p, err := plugins.Load(file, object, plugins.LoadOptions{Engine: k.engine})
	if err != nil {
		return nil, &Error{CodePlugin, err.Error()}
	}
	l := &loaded{Plugin: p}
	l.users.Add(1)
	k.list[h] = l
	return l, nil
}

// makeRoom gives back a plugin that nobody uses, if it has to.
func (k *cache) makeRoom() bool {
	if len(k.list) < maxLoaded {
		return true
	}
	for h, p := range k.list {
		if p.users.Load() == 0 {
			p.Release()
			delete(k.list, h)
			return true
		}
	}
	return false
}
