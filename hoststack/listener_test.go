package hoststack

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/token"
)

func TestListenerClose(t *testing.T) {
	l, err := Listen(context.Background(), "udp", "127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	var s *Conn
	accepted := async(func() (err error) { s, err = l.Accept(testContext(t)); return })
	c := dial(t, l, clientConfig())
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	ss, _ := streams(t, s, c)
	waiting := async(func() error { _, err := l.Accept(context.Background()); return err })
	reading := async(func() error { _, err := ss.Read(make([]byte, 1)); return err })
	l.Close()
	for why, ch := range map[string]<-chan error{"Accept": waiting, "Read": reading} {
		if err := <-ch; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v, want net.ErrClosed", why, err)
		}
	}
	if _, err := l.Accept(context.Background()); !errors.Is(err, ErrShutdown) {
		t.Errorf("Accept after Close: %v", err)
	}
	<-c.Context().Done() // the client was told
	if _, err := s.OpenStream(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("OpenStream after the listener's Close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestShutdown(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	c := dial(t, l, clientConfig())
	roundTrip(t, c, []byte("before"))
	done := async(func() error { return l.Shutdown(testContext(t)) })
	for !l.refusing() {
		if err := context.Cause(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Dial(testContext(t), "udp", l.Addr().String(), clientConfig())
	if !errors.Is(err, &core.TransportError{Code: core.ConnectionRefused}) {
		t.Errorf("Dial during shutdown: %v, want CONNECTION_REFUSED", err)
	}
	roundTrip(t, c, []byte("during"))
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned with a connection alive: %v", err)
	default:
	}
	c.CloseWithError(0, "")
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := l.Stats().RefusedShutdown; n == 0 {
		t.Error("the refusal was not counted")
	}
}

func TestShutdownGivesUp(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	c := dial(t, l, clientConfig())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want context.Canceled", err)
	}
	<-c.Context().Done()
}

func TestConnectionLimit(t *testing.T) {
	cfg := serverConfig()
	cfg.Limits.Connections = 1
	l := listen(t, cfg, echo)
	c := dial(t, l, clientConfig())
	_, err := Dial(testContext(t), "udp", l.Addr().String(), clientConfig())
	if !errors.Is(err, &core.TransportError{Code: core.ConnectionRefused}) {
		t.Errorf("second connection: %v, want CONNECTION_REFUSED", err)
	}
	if n := l.Stats().RefusedConnections; n == 0 {
		t.Error("the refusal was not counted")
	}
	roundTrip(t, c, []byte("the first is none the worse"))
}

func TestMemoryLimit(t *testing.T) {
	cfg := serverConfig()
	cfg.Limits.Memory = 1
	l := listen(t, cfg, echo)
	_, err := Dial(testContext(t), "udp", l.Addr().String(), clientConfig())
	if !errors.Is(err, &core.TransportError{Code: core.ConnectionRefused}) {
		t.Errorf("%v, want CONNECTION_REFUSED", err)
	}
	if n := l.Stats().RefusedMemory; n == 0 {
		t.Error("the refusal was not counted")
	}
}

// TestHandshakeRate: beyond the rate an address is asked to prove itself, and
// beyond it again it is refused.
func TestHandshakeRate(t *testing.T) {
	cfg := serverConfig()
	cfg.Limits.HandshakesPerAddress = 1e-9
	cfg.Limits.HandshakeBurst = 2
	l := listen(t, cfg, echo)
	for i := range 4 {
		dial(t, l, clientConfig())
		if got, want := l.Stats().Retries, uint64(max(i-1, 0)); got < want {
			t.Errorf("connection %d: %d Retry packets, want at least %d", i+1, got, want)
		}
	}
	_, err := Dial(testContext(t), "udp", l.Addr().String(), clientConfig())
	if !errors.Is(err, &core.TransportError{Code: core.ConnectionRefused}) {
		t.Errorf("fifth connection: %v, want CONNECTION_REFUSED", err)
	}
	if n := l.Stats().RefusedRate; n == 0 {
		t.Error("the refusal was not counted")
	}
}

func TestAlwaysRetry(t *testing.T) {
	cfg := serverConfig()
	cfg.Limits.RetryAbove = -1
	l := listen(t, cfg, echo)
	roundTrip(t, dial(t, l, clientConfig()), []byte("after a Retry"))
	if n := l.Stats().Retries; n == 0 {
		t.Error("no Retry packet was sent")
	}
}

func TestBacklog(t *testing.T) {
	cfg := serverConfig()
	cfg.Limits.Backlog = 1
	l, err := Listen(context.Background(), "udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := dial(t, l, clientConfig())
	second, err := Dial(testContext(t), "udp", l.Addr().String(), clientConfig())
	if err == nil { // complete for the client before the server's refusal came
		<-second.Context().Done()
		err = second.Err()
	}
	if !errors.Is(err, &core.TransportError{Code: core.ConnectionRefused}) {
		t.Errorf("second connection: %v, want CONNECTION_REFUSED", err)
	}
	s, err := l.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	roundTripBetween(t, s, first)
	if n := l.Stats().RefusedBacklog; n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
}

// TestWorkers: connections spread over workers, each served by the one its
// connection IDs name, however datagrams reach it.
func TestWorkers(t *testing.T) {
	for _, v := range []struct {
		name string
		open func(n int) ([]Datapath, error)
	}{
		{"steered by the kernel", nil},
		{"handed over", func(n int) ([]Datapath, error) {
			paths, err := ListenUDP(context.Background(), "udp4", "127.0.0.1:0", n, nil)
			for i := range paths {
				paths[i] = unsteered{paths[i]}
			}
			return paths, err
		}},
	} {
		t.Run(v.name, func(t *testing.T) {
			if !canSharePort {
				t.Skip("sockets cannot share a port here")
			}
			cfg := serverConfig()
			cfg.Workers = 3
			cfg.Datapaths = v.open
			var mu sync.Mutex
			byWorker := map[uint8]int{}
			l := listen(t, cfg, func(c *Conn) {
				mu.Lock()
				byWorker[c.w.index]++
				mu.Unlock()
				echo(c)
			})
			var wg sync.WaitGroup
			for range 24 {
				wg.Go(func() { roundTrip(t, dial(t, l, clientConfig()), randomBytes(100_000)) })
			}
			wg.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(byWorker) < 2 {
				t.Errorf("connections per worker %v, want them spread", byWorker)
			}
			how, _ := l.Steering()
			if n := l.Stats().HandedOver; (n > 0) != (how == SteerNone) && how == SteerNone {
				t.Errorf("steered by %q, %d datagrams handed over", how, n)
			}
			t.Logf("steered by %q, per worker %v, %d handed over", how, byWorker, l.Stats().HandedOver)
		})
	}
}

// unsteered hides a datapath's socket from the steering.
type unsteered struct{ Datapath }

// TestSharedTransport: connections dialled share one socket, which ends with
// the last of them.
func TestSharedTransport(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	a, b := dial(t, l, clientConfig()), dial(t, l, clientConfig())
	if a.w != b.w {
		t.Error("two connections have two workers")
	}
	a.CloseWithError(0, "")
	roundTrip(t, b, []byte("alone now"))
	b.CloseWithError(0, "")
	<-a.w.group.stopped
	roundTrip(t, dial(t, l, clientConfig()), []byte("anew"))
}

func TestOwnTransport(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	tr, err := NewTransport("udp", "127.0.0.1:0", &Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	cfg := clientConfig()
	cfg.Transport = tr
	a, b := dial(t, l, cfg), dial(t, l, cfg)
	if a.LocalAddr().String() != tr.Addr().String() {
		t.Errorf("dialled from %v, want %v", a.LocalAddr(), tr.Addr())
	}
	if canSharePort && a.w == b.w {
		t.Error("two connections share a worker, want one each")
	}
	roundTrip(t, a, randomBytes(100_000))
	roundTrip(t, b, randomBytes(100_000))
	tr.Close()
	if err := a.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the transport's Close: %v", err)
	}
	if _, err := Dial(testContext(t), "udp", l.Addr().String(), cfg); !errors.Is(err, ErrShutdown) {
		t.Errorf("Dial after Close: %v", err)
	}
}

func TestIPv6(t *testing.T) {
	l, err := Listen(context.Background(), "udp", "[::]:0", serverConfig())
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"::1", "127.0.0.1", "localhost"} {
		c, err := Dial(testContext(t), "udp", net.JoinHostPort(host, port), clientConfig())
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		roundTrip(t, c, randomBytes(50_000))
		c.CloseWithError(0, "")
	}
}

func TestPlainDatapath(t *testing.T) {
	cfg := serverConfig()
	cfg.UDP.Plain = true
	l := listen(t, cfg, echo)
	tr, err := NewTransport("udp", "127.0.0.1:0", &Config{UDP: UDPConfig{Plain: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	client := clientConfig()
	client.Transport = tr
	roundTrip(t, dial(t, l, client), randomBytes(1<<20))
}

// TestResumption: tickets outlive the connection they were given on, and a
// rotation of the keys that keeps the old one.
func TestResumption(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	cfg := clientConfig()
	cache := newSessionCache()
	cfg.TLS.ClientSessionCache = cache
	first := dial(t, l, cfg)
	if first.ConnectionState().DidResume {
		t.Error("the first connection resumed something")
	}
	cache.wait(t)
	var fresh token.Key
	random(fresh[:])
	if err := l.RotateKeys(append([]token.Key{fresh}, l.cfg.Keys.Secrets...)); err != nil {
		t.Fatal(err)
	}
	if !dial(t, l, cfg).ConnectionState().DidResume {
		t.Error("the second connection did not resume the first")
	}
	if l.RotateKeys(nil) == nil {
		t.Error("no keys were accepted")
	}
}
