// Package sessionfile keeps what servers gave a client for its next visit: TLS
// session tickets and QUIC address-validation tokens. It may live in memory
// only, or in a file.
package sessionfile

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/pquic-go/pquic/core"
)

// A Store holds sessions and tokens of several servers.
type Store struct {
	path string // empty: memory only

	mu      sync.Mutex
	servers map[string]*server
}

// server is what one server gave.
type server struct {
	session *tls.ClientSessionState
	fresh   bool          // session came from this process's connections
	came    chan struct{} // closed when it did
	tokens  [][]byte      // the newest last
}

// The bounds of what is kept.
const (
	maxServers = 1000
	maxTokens  = 4
)

// contents is the file's form.
type contents struct {
	Format  string                `json:"format"`
	Servers map[string]savedState `json:"servers"`
}

// savedState is one server's part; byte slices are in base64.
type savedState struct {
	Ticket []byte   `json:"ticket,omitempty"`
	State  []byte   `json:"state,omitempty"`
	Tokens [][]byte `json:"tokens,omitempty"`
}

const format = "pquic sessions 1"

// Open reads a file of sessions. One that does not exist is an empty one; an
// empty path means to keep everything in memory.
func Open(path string) (*Store, error) {
	s := &Store{path: path, servers: make(map[string]*server)}
	if path == "" {
		return s, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Whether it can be written had better be known before the downloads.
		dir := filepath.Dir(path)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s: there is no directory %s", path, dir)
		}
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	var c contents
	if err := json.Unmarshal(data, &c); err != nil || c.Format != format {
		return nil, fmt.Errorf("%s: is no file of sessions, and is left alone: choose another name, or delete it", path)
	}
	for key, saved := range c.Servers {
		v := s.server(key)
		v.tokens = saved.Tokens[max(0, len(saved.Tokens)-maxTokens):]
		if len(saved.Ticket) == 0 {
			continue
		}
		// What another version of TLS wrote is forgotten: the handshake is a full one then.
		if state, err := tls.ParseSessionState(saved.State); err == nil {
			if session, err := tls.NewResumptionState(saved.Ticket, state); err == nil {
				v.session = session
			}
		}
	}
	return s, nil
}

// server returns the entry of a server; s.mu is held, or s is not shared yet.
func (s *Store) server(key string) *server {
	v := s.servers[key]
	if v == nil {
		v = &server{came: make(chan struct{})}
		s.servers[key] = v
	}
	return v
}

// Save writes the file, as a whole or not at all.
func (s *Store) Save() error {
	if s.path == "" {
		return nil
	}
	data, err := s.encode()
	if err != nil {
		return err
	}
	// Tickets are secrets: CreateTemp lets only the owner read.
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (s *Store) encode() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := contents{Format: format, Servers: make(map[string]savedState)}
	for key, v := range s.servers {
		saved := savedState{Tokens: v.tokens}
		if v.session != nil {
			ticket, state, err := v.session.ResumptionState()
			if err != nil {
				return nil, err
			}
			if state != nil {
				if saved.State, err = state.Bytes(); err != nil {
					return nil, err
				}
				saved.Ticket = ticket
			}
		}
		if len(saved.Ticket)+len(saved.Tokens) > 0 && len(c.Servers) < maxServers {
			c.Servers[key] = saved
		}
	}
	data, err := json.MarshalIndent(c, "", "\t")
	return append(data, '\n'), err
}

// Sessions returns the session cache for connections to one server. key tells
// servers apart better than their names do: several may have the same.
func (s *Store) Sessions(key string) tls.ClientSessionCache { return sessions{s, key} }

// Tokens returns the token store for connections to one server.
func (s *Store) Tokens(key string) core.TokenStore { return tokens{s, key} }

// sessions is a Store as one server's TLS sees it.
type sessions struct {
	s   *Store
	key string
}

// Get implements tls.ClientSessionCache.
func (v sessions) Get(string) (*tls.ClientSessionState, bool) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	session := v.s.server(v.key).session
	return session, session != nil
}

// Put implements tls.ClientSessionCache.
func (v sessions) Put(_ string, session *tls.ClientSessionState) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	e := v.s.server(v.key)
	e.session = session
	if session != nil && !e.fresh {
		e.fresh = true
		close(e.came)
	}
}

// tokens is a Store as one server's connections see it.
type tokens struct {
	s   *Store
	key string
}

// Put implements core.TokenStore.
func (v tokens) Put(_ string, token []byte) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	e := v.s.server(v.key)
	e.tokens = append(e.tokens, slices.Clone(token))
	if extra := len(e.tokens) - maxTokens; extra > 0 {
		e.tokens = slices.Delete(e.tokens, 0, extra)
	}
}

// Take implements core.TokenStore. The newest goes first.
func (v tokens) Take(string) []byte {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	e := v.s.server(v.key)
	n := len(e.tokens)
	if n == 0 {
		return nil
	}
	token := e.tokens[n-1]
	e.tokens = e.tokens[:n-1]
	return token
}

// WaitForTicket waits until a connection of this process got a ticket from a
// server, or ctx ends.
func (s *Store) WaitForTicket(ctx context.Context, key string) bool {
	s.mu.Lock()
	came := s.server(key).came
	s.mu.Unlock()
	select {
	case <-came:
		return true
	case <-ctx.Done():
		return false
	}
}
