package hoststack

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A CertStore serves certificates from files and notices when those change, so
// that a renewed certificate is used without a restart. Use its GetCertificate
// in a tls.Config. Connections that exist keep what they have.
type CertStore struct {
	// OnError, if set, is told when changed files cannot be loaded. The
	// certificates loaded before stay in use.
	OnError func(error)

	dir   string // empty: the files were named one by one
	files []certFile

	mu      sync.Mutex
	checked time.Time
	certs   []storedCert
}

type certFile struct{ cert, key string }

// stamp tells one version of a file from another.
type stamp struct {
	mod  time.Time
	size int64
}

type storedCert struct {
	certFile
	stamps [2]stamp
	cert   *tls.Certificate
}

// certCheckInterval is how long the store trusts what it has seen.
const certCheckInterval = time.Second

// NewCertStore loads one certificate chain and key in PEM form.
func NewCertStore(certFileName, keyFileName string) (*CertStore, error) {
	s := &CertStore{files: []certFile{{certFileName, keyFileName}}}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// NewCertDirStore loads every certificate of a directory: NAME.crt or NAME.pem
// with its NAME.key, fullchain.pem with privkey.pem, and the latter also one
// directory down, as ACME clients leave them. The first in alphabetical order
// answers clients that name no server or an unknown one. Files that appear
// later are noticed too.
func NewCertDirStore(dir string) (*CertStore, error) {
	s := &CertStore{dir: dir}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload looks at all files now. If any cannot be loaded, nothing changes.
func (s *CertStore) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload()
}

func (s *CertStore) reload() error {
	s.checked = time.Now()
	files := s.files
	if s.dir != "" {
		var err error
		if files, err = findCerts(s.dir); err != nil {
			return err
		}
	}
	certs := make([]storedCert, 0, len(files))
	for _, f := range files {
		c, err := s.load(f)
		if err != nil {
			return err
		}
		certs = append(certs, c)
	}
	s.certs = certs
	return nil
}

// load returns the certificate in f, the one in memory if f has not changed.
func (s *CertStore) load(f certFile) (storedCert, error) {
	c := storedCert{certFile: f}
	for i, name := range [2]string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return c, fmt.Errorf("hoststack: certificate: %w", err)
		}
		c.stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	for _, old := range s.certs {
		if old.certFile == f && old.stamps == c.stamps {
			return old, nil
		}
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return c, fmt.Errorf("hoststack: certificate %s with key %s: %w", f.cert, f.key, err)
	}
	c.cert = &pair
	return c, nil
}

// findCerts lists the certificates of a directory in alphabetical order.
func findCerts(dir string) ([]certFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("hoststack: certificate directory: %w", err)
	}
	var found []certFile
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		ext := filepath.Ext(name)
		switch {
		case isDir(name, e):
			if f := acmePair(name); exists(f.cert) && exists(f.key) {
				found = append(found, f)
			}
		case e.Name() == "fullchain.pem":
			found = append(found, acmePair(dir))
		case e.Name() == "privkey.pem":
		case ext == ".crt" || ext == ".pem":
			key := strings.TrimSuffix(name, ext) + ".key"
			if !exists(key) {
				return nil, fmt.Errorf("hoststack: certificate %s has no key: want %s", name, key)
			}
			found = append(found, certFile{name, key})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("hoststack: no certificate in %s: want NAME.crt with NAME.key, or fullchain.pem with privkey.pem", dir)
	}
	return found, nil
}

func acmePair(dir string) certFile {
	return certFile{filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")}
}

// isDir follows a symbolic link, of which ACME clients make use.
func isDir(name string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// GetCertificate picks the certificate for a client: one for the server name
// it asks for that it can verify, else the first. It implements
// tls.Config.GetCertificate.
func (s *CertStore) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certs := s.current()
	if len(certs) == 0 {
		return nil, errors.New("hoststack: no certificate loaded")
	}
	for i := range certs {
		if hello.SupportsCertificate(certs[i].cert) == nil {
			return certs[i].cert, nil
		}
	}
	return certs[0].cert, nil
}

// Certificates returns what is loaded, the default first.
func (s *CertStore) Certificates() []*tls.Certificate {
	var list []*tls.Certificate
	for _, c := range s.current() {
		list = append(list, c.cert)
	}
	return list
}

// current returns the certificates after a look at the files, if the last look
// was a while ago.
func (s *CertStore) current() []storedCert {
	s.mu.Lock()
	certs := s.certs
	var err error
	if time.Since(s.checked) >= certCheckInterval {
		if err = s.reload(); err == nil {
			certs = s.certs
		}
	}
	s.mu.Unlock()
	if err != nil && s.OnError != nil {
		s.OnError(err)
	}
	return certs
}
