package stream

// A SendState is a state of the sending part of a stream.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.1
type SendState uint8

// The states of the sending part. With RESET_STREAM_AT and a reliable size
// above zero a stream passes through "Data Sent" and "Data Recvd".
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset
const (
	SendReady      SendState = iota // nothing sent yet
	SendSend                        // sending
	SendDataSent                    // everything including FIN sent once
	SendResetSent                   // RESET_STREAM sent
	SendDataRecvd                   // everything acknowledged; terminal
	SendResetRecvd                  // RESET_STREAM acknowledged; terminal
)

var sendStateNames = [...]string{"Ready", "Send", "Data Sent", "Reset Sent", "Data Recvd", "Reset Recvd"}

// String returns the RFC's name of the state.
func (s SendState) String() string {
	if int(s) < len(sendStateNames) {
		return sendStateNames[s]
	}
	return "unknown"
}

// SendView is what plugins may see of a sending half. Flags are 0 or 1.
type SendView struct {
	ID                 uint64 `op:"id" doc:"stream ID"`
	NextOffset         uint64 `op:"next_offset" unit:"bytes" doc:"end of what was sent at least once"`
	AckedOffset        uint64 `op:"acked_offset" unit:"bytes" doc:"everything below is settled and released from the FIFO"`
	MaxStreamData      uint64 `op:"max_stream_data" unit:"bytes" doc:"the peer's limit on next_offset"`
	FinalSize          uint64 `op:"final_size" unit:"bytes" doc:"valid with fin_known or reset_requested"`
	ReliableSize       uint64 `op:"reliable_size" unit:"bytes" doc:"valid with reset_requested: data below is still delivered"`
	LostBytes          uint64 `op:"lost_bytes" unit:"bytes" doc:"lost with their last copy, waiting to be sent again"`
	RequeuedBytes      uint64 `op:"requeued_bytes" unit:"bytes" doc:"in flight, waiting for another copy"`
	RetransmittedBytes uint64 `op:"retransmitted_bytes" unit:"bytes" doc:"sent more than once, ever"`
	FinKnown           uint32 `op:"fin_known" doc:"the application ended the stream"`
	FinSent            uint32 `op:"fin_sent" doc:"FIN was sent at least once"`
	FinAcked           uint32 `op:"fin_acked" doc:"FIN was acknowledged"`
	ResetRequested     uint32 `op:"reset_requested" doc:"sending was abandoned"`
	ResetSent          uint32 `op:"reset_sent" doc:"a reset frame was sent at least once"`
	ResetAcked         uint32 `op:"reset_acked" doc:"the reset frame with the smallest reliable size was acknowledged"`
}

// Send is the sending half of a stream: it consumes a FIFO that the application
// fills, says what the next STREAM frame carries and learns each frame's fate.
// A range may be in flight in several packets at once; any acknowledgement
// settles it, and it is lost only when its last copy is.
//
// It serves CRYPTO streams too, with MaxStreamData 1<<62-1 and no FIN.
//
// All methods are the engine's. Init must come first.
type Send struct {
	SendView

	fifo      *FIFO
	tail      uint64 // the last Tail loaded from the FIFO, at most FinalSize
	finCopies uint32 // FINs in flight
	spans     list[sendSpan]
	lostFrom  uint64 // no lost span ends at or below
	queueFrom uint64 // no requeued span ends at or below
}

// Init prepares s to send what f holds on stream id, up to the peer's initial
// limit. Memory of an earlier use is kept.
func (s *Send) Init(id uint64, f *FIFO, maxStreamData uint64) {
	spans := s.spans
	spans.clear()
	*s = Send{fifo: f, spans: spans}
	s.ID = id
	s.MaxStreamData = maxStreamData
}

// FIFO returns the FIFO given to Init.
func (s *Send) FIFO() *FIFO { return s.fifo }

// refresh learns how much the application has written, and whether that is all,
// unless that is settled.
func (s *Send) refresh() {
	if s.FinKnown|s.ResetRequested != 0 {
		return
	}
	size, final := s.fifo.Final()
	if final {
		s.tail, s.FinalSize, s.FinKnown = size, size, 1
		return
	}
	s.tail = s.fifo.Tail()
}

// sendLimit is the end of what may be sent for the first time, credit aside.
func (s *Send) sendLimit() uint64 {
	limit := min(s.tail, s.MaxStreamData)
	if s.ResetRequested != 0 {
		limit = min(limit, s.ReliableSize)
	}
	return max(limit, s.NextOffset)
}

// finDue reports whether a FIN can go out now, with or without data.
func (s *Send) finDue() bool {
	return s.FinKnown != 0 && s.FinAcked == 0 && s.finCopies == 0 &&
		s.ResetRequested == 0 && s.NextOffset == s.FinalSize
}

// Pending reports whether Next has something to send, given connCredit bytes of
// connection flow control.
func (s *Send) Pending(connCredit uint64) bool {
	if s.LostBytes|s.RequeuedBytes != 0 {
		return true
	}
	if s.NextOffset >= s.tail {
		s.refresh()
	}
	return connCredit > 0 && s.sendLimit() > s.NextOffset || s.finDue()
}

// Next says what a STREAM frame with room for space bytes of data should carry:
// first what was lost, then what was requeued, then new data as far as both the
// stream's and the connection's flow control (connCredit bytes) allow. fin asks
// for the FIN bit; n may then be 0, which needs neither room nor credit, so a
// FIN never waits behind either. retransmit says that the bytes were sent
// before. ok is false if there is nothing to send.
//
// Nothing changes until CommitSent.
func (s *Send) Next(space int, connCredit uint64) (off uint64, n int, fin, retransmit, ok bool) {
	if s.LostBytes|s.RequeuedBytes != 0 && space > 0 {
		off, n = s.nextRepair(space)
		end := off + uint64(n)
		return off, n, s.FinKnown != 0 && s.ResetRequested == 0 && end == s.FinalSize, true, true
	}
	want := uint64(max(space, 0))
	off = s.NextOffset
	if want >= s.tail-off {
		s.refresh()
	}
	// "Senders MUST NOT send data in excess of either limit."
	// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
	room := min(s.sendLimit()-off, connCredit, want)
	if room == 0 {
		fin = s.finDue()
		return off, 0, fin, fin && s.FinSent != 0, fin
	}
	fin = s.FinKnown != 0 && s.ResetRequested == 0 && off+room == s.FinalSize
	return off, int(room), fin, false, true
}

// CommitSent records that a packet carries what Next proposed (or a part of
// it). It returns how many of the bytes were sent for the first time: those
// count against connection flow control.
func (s *Send) CommitSent(off uint64, n int, fin bool) (newBytes uint64) {
	end := off + uint64(n)
	if fin {
		s.FinSent = 1
		s.finCopies++
	}
	if off < s.NextOffset {
		s.RetransmittedBytes += min(end, s.NextOffset) - off
		s.update(off, end, spanSent)
	}
	if end <= s.NextOffset {
		return 0
	}
	newBytes = end - s.NextOffset
	s.appendSent(s.NextOffset, end)
	s.NextOffset = end
	return newBytes
}

// CopyTo fills dst with the stream's bytes from offset off, which must have
// been proposed by Next and not be acknowledged since.
func (s *Send) CopyTo(dst []byte, off uint64) { s.fifo.ReadAt(dst, off) }

// Acked records that a packet carrying n bytes at off was acknowledged, also
// one declared lost before. released says that the FIFO's Head advanced: a
// sleeping writer may have room (see TakeWriter). done says that the sending
// part reached a terminal state.
func (s *Send) Acked(off uint64, n int, fin bool) (released, done bool) {
	if fin {
		s.FinAcked = 1
	}
	if n > 0 {
		released = s.settle(off, off+uint64(n))
	}
	return released, s.Done()
}

// Lost records that a packet carrying n bytes at off was lost. What no other
// packet in flight carries will be proposed by Next again.
func (s *Send) Lost(off uint64, n int, fin bool) {
	if fin && s.finCopies > 0 {
		s.finCopies--
	}
	if n > 0 {
		s.update(off, off+uint64(n), spanLost)
	}
}

// Requeue asks for another copy of n bytes at off while the first may still
// arrive: re-injection on another path, or a probe. Bytes acknowledged or never
// sent are left out.
func (s *Send) Requeue(off uint64, n int) {
	if n > 0 {
		s.update(off, off+uint64(n), spanRequeue)
	}
}

// Unsettled returns the first run of bytes within n bytes from off that were
// sent and are not acknowledged: where it starts and its length, 0 for none. At
// the end of its search it returns off + n.
func (s *Send) Unsettled(off uint64, n int) (from uint64, length int) {
	end := off + uint64(n)
	lo, hi := max(off, s.AckedOffset), min(end, s.NextOffset)
	for i := s.find(lo); lo < hi; i++ {
		sp := s.spans.at(i)
		if sp.mark == markSettled {
			lo = sp.hi
			continue
		}
		stop := min(hi, sp.hi)
		for i+1 < s.spans.len() && stop < hi && s.spans.at(i+1).mark != markSettled {
			i++
			stop = min(hi, s.spans.at(i).hi)
		}
		return lo, int(stop - lo)
	}
	return end, 0
}

// SetMaxStreamData raises the peer's limit, and reports whether data waited for
// that.
//
// "A sender MUST ignore any MAX_STREAM_DATA or MAX_DATA frames that do not
// increase flow control limits."
// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
func (s *Send) SetMaxStreamData(v uint64) (unblocked bool) {
	if v <= s.MaxStreamData {
		return false
	}
	_, unblocked = s.Blocked()
	s.MaxStreamData = v
	return unblocked
}

// Blocked reports whether data waits for the stream's flow control alone, and
// the limit that a STREAM_DATA_BLOCKED frame carries.
func (s *Send) Blocked() (limit uint64, blocked bool) {
	if s.NextOffset < s.MaxStreamData {
		return s.MaxStreamData, false
	}
	s.refresh()
	end := s.tail
	if s.ResetRequested != 0 {
		end = min(end, s.ReliableSize)
	}
	return s.MaxStreamData, end > s.MaxStreamData
}

// Reset abandons the stream beyond reliableSize, which is limited to what the
// application has written: nothing there is sent any more, new or again. With
// reliableSize 0 it calls for RESET_STREAM, else for RESET_STREAM_AT. Calling
// it again can only lower the reliable size. The application's writes are
// refused from now on (CloseRead with code 0, unless the caller has passed a
// better code before).
//
// It has no effect once the sending part is in a terminal state.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.1
func (s *Send) Reset(reliableSize uint64) {
	if s.Done() {
		return
	}
	s.fifo.CloseRead(0)
	s.refresh()
	reliableSize = min(reliableSize, s.tail)
	if s.ResetRequested == 0 {
		s.ResetRequested = 1
		s.ReliableSize = reliableSize
		// "The final size is the amount of flow control credit that is consumed
		// by a stream."
		// https://www.rfc-editor.org/rfc/rfc9000#section-4.5
		s.FinalSize = max(s.NextOffset, reliableSize)
	} else if reliableSize >= s.ReliableSize {
		// "the initiator MUST NOT increase the Reliable Size"
		// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset
		return
	} else {
		s.ReliableSize = reliableSize
		s.ResetAcked = 0
		if s.ResetSent == 0 {
			s.FinalSize = max(s.NextOffset, reliableSize)
		}
	}
	s.abandon()
}

// ResetFrame returns the Final Size and Reliable Size of the reset frame to
// send, with ready once it may go out. It may not while bytes below the
// reliable size were never sent: only then is the final size covered by both
// flow controls.
func (s *Send) ResetFrame() (finalSize, reliableSize uint64, ready bool) {
	return s.FinalSize, s.ReliableSize, s.ResetRequested != 0 && s.NextOffset >= s.ReliableSize
}

// CommitReset records that a packet carries the reset frame.
func (s *Send) CommitReset() { s.ResetSent = 1 }

// ResetFrameAcked records that a reset frame with this reliable size was
// acknowledged, and reports whether the sending part is now in a terminal
// state. Frames with a larger reliable size than the last are not enough.
func (s *Send) ResetFrameAcked(reliableSize uint64) (done bool) {
	if s.ResetRequested != 0 && reliableSize == s.ReliableSize {
		s.ResetAcked = 1
	}
	return s.Done()
}

// Done reports whether the sending part is in a terminal state.
func (s *Send) Done() bool {
	if s.ResetRequested != 0 {
		return s.ResetAcked != 0 && s.AckedOffset >= s.ReliableSize
	}
	return s.FinAcked != 0 && s.AckedOffset == s.FinalSize
}

// State returns the state of the sending part.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.1
func (s *Send) State() SendState {
	switch {
	case s.ResetRequested != 0 && s.ReliableSize == 0 && s.Done():
		return SendResetRecvd
	case s.Done():
		return SendDataRecvd
	case s.ResetSent != 0 && s.ReliableSize == 0:
		return SendResetSent
	case s.ResetSent != 0 || s.FinSent != 0:
		return SendDataSent
	case s.NextOffset > 0:
		return SendSend
	}
	return SendReady
}

// Rewind forgets that anything was sent: the server rejected 0-RTT, and
// everything has to be sent again under a new limit.
// https://www.rfc-editor.org/rfc/rfc9001#section-4.6.2
func (s *Send) Rewind(maxStreamData uint64) {
	s.spans.clear()
	s.NextOffset = s.AckedOffset
	s.LostBytes, s.RequeuedBytes = 0, 0
	s.lostFrom, s.queueFrom = 0, 0
	s.FinSent, s.FinAcked, s.finCopies = 0, 0, 0
	s.ResetSent, s.ResetAcked = 0, 0
	s.MaxStreamData = maxStreamData
	if s.ResetRequested != 0 {
		s.FinalSize = max(s.NextOffset, s.ReliableSize)
	}
}
