package hoststack

import (
	"fmt"
	"io"
	"os"
)

// OpenKeyLog opens, or creates, a file for tls.Config.KeyLogWriter in the
// format of NSS, appending to what is there. With it, anybody can read the
// connections: only the owner may open a new file.
func OpenKeyLog(path string) (io.WriteCloser, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hoststack: key log: %w", err)
	}
	return f, nil
}

// KeyLogFromEnv opens the file that the environment variable SSLKEYLOGFILE
// names. It returns nil, and no error, if the variable is not set.
func KeyLogFromEnv() (io.WriteCloser, error) {
	path := os.Getenv("SSLKEYLOGFILE")
	if path == "" {
		return nil, nil
	}
	return OpenKeyLog(path)
}
