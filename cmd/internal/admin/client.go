package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
)

// A Client asks a Server.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to the socket at path.
func Dial(path string) (*Client, error) {
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return &Client{c, bufio.NewReader(c)}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no admin socket %s: want the path that the program was given by --admin", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nobody listens on the admin socket %s: the program has ended", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the admin socket %s is another user's: want the user that runs the program", path)
	case errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.EINVAL):
		return nil, fmt.Errorf("%s is no socket: want the path that the program was given by --admin", path)
	}
	return nil, fmt.Errorf("admin socket %s: %w", path, pathError(err))
}

// Close leaves the server.
func (c *Client) Close() error { return c.conn.Close() }

// Do sends a request and hands each connection and pluglet of the answer to
// each, which may be nil. What the server refuses is an *Error.
func (c *Client) Do(r *Request, each func(*Reply)) (*End, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(b) >= maxRequest {
		return nil, errorf(CodeRequest, "request of %d bytes: want less than %d", len(b), maxRequest)
	}
	// A server that refuses a request may do so before it has read it all.
	_, failed := c.conn.Write(append(b, '\n'))
	for {
		line, err := readLine(c.in, maxReply+1)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("the program has closed the admin socket before it answered")
		} else if err != nil {
			return nil, errors.Join(err, failed)
		}
		var reply Reply
		if err := json.Unmarshal(line, &reply); err != nil {
			return nil, fmt.Errorf("the answer is not of this protocol: %w", err)
		}
		switch {
		case reply.Error != nil:
			return nil, reply.Error
		case reply.End != nil:
			return reply.End, nil
		case each != nil:
			each(&reply)
		}
	}
}
