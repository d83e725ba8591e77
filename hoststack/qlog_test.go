package hoststack

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"

	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/wire"
)

// A sentLog tells which STREAM frames a connection has sent, and in which
// packets.
type sentLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *sentLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// trace is a core.Config.Qlog.
func (l *sentLog) trace(odcid wire.ConnID, server bool) *qlog.Trace {
	return qlog.New(l, qlog.Info{ODCID: odcid, Server: server})
}

// A sentFrame is a STREAM frame and the packet that carried it.
type sentFrame struct {
	packetType string
	packet     uint64
	stream     uint64
	offset     uint64
	length     int
	fin        bool
}

// frames returns all STREAM frames sent so far, in the order of sending.
func (l *sentLog) frames(t testing.TB) []sentFrame {
	t.Helper()
	l.mu.Lock()
	records := bytes.Split(bytes.Clone(l.b.Bytes()), []byte{0x1e})
	l.mu.Unlock()
	var all []sentFrame
	for _, r := range records {
		var e struct {
			Name string
			Data struct {
				Header struct {
					PacketType   string `json:"packet_type"`
					PacketNumber uint64 `json:"packet_number"`
				}
				Frames []struct {
					FrameType string `json:"frame_type"`
					StreamID  uint64 `json:"stream_id"`
					Offset    uint64
					Fin       bool
					Raw       struct{ Length int }
				}
			}
		}
		if len(r) == 0 {
			continue
		}
		if err := json.Unmarshal(r, &e); err != nil {
			t.Fatalf("%v in %s", err, r)
		}
		for _, f := range e.Data.Frames {
			if e.Name == "quic:packet_sent" && f.FrameType == "stream" {
				h := e.Data.Header
				all = append(all, sentFrame{h.PacketType, h.PacketNumber, f.StreamID, f.Offset, f.Raw.Length, f.Fin})
			}
		}
	}
	return all
}

// of returns the first frame of a stream.
func (l *sentLog) of(t testing.TB, s *Stream) sentFrame {
	t.Helper()
	for _, f := range l.frames(t) {
		if f.stream == s.ID() {
			return f
		}
	}
	t.Fatalf("no STREAM frame of stream %d was sent", s.ID())
	return sentFrame{}
}
