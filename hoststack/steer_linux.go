package hoststack

import (
	"errors"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/pquic-go/pquic/core/connid"
)

// noSocket is an index no socket of a group has: the kernel then chooses by
// its hash of the addresses.
const noSocket = -1

// steer makes the kernel choose among the sockets of paths, which share a
// port, by the worker that a datagram's connection ID names. It returns how:
// SteerEBPF, SteerCBPF, or SteerHash if the kernel refused both.
func steer(paths []Datapath, s connid.Steering) (Steering, error) {
	if len(paths) < 2 || s.Workers == 0 {
		return SteerNone, nil
	}
	u, ok := paths[0].(*udpSocket)
	if !ok {
		return SteerNone, nil
	}
	errEBPF := attachEBPF(int(u.fd), s)
	if errEBPF == nil {
		return SteerEBPF, nil
	}
	errCBPF := attachCBPF(int(u.fd), s)
	if errCBPF == nil {
		return SteerCBPF, nil
	}
	return SteerHash, errors.Join(errEBPF, errCBPF)
}

// attachEBPF loads the program that package connid documents and attaches it
// to the socket's group. This takes CAP_BPF or unprivileged BPF.
func attachEBPF(fd int, s connid.Steering) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "pquic_steer",
		Type:         ebpf.SocketFilter,
		License:      "MIT",
		Instructions: steerEBPF(s),
	})
	if err != nil {
		return err
	}
	// The group holds a reference of its own.
	defer p.Close()
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, p.FD())
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_EBPF", err)
}

// steerEBPF is the steering program. The packet it sees is the UDP payload; the
// value it returns is the index of the socket in its group, which is the order
// of binding.
func steerEBPF(s connid.Steering) asm.Instructions {
	o := int32(s.Offset)
	return asm.Instructions{
		// Loads from the packet find it in R6, leave the byte in R0 and
		// clobber R1 to R5.
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word), // __sk_buff.len
		asm.JLT.Imm(asm.R7, 1+o+2, "none"),
		asm.LoadAbs(0, asm.Byte),
		asm.JSet.Imm(asm.R0, 0x80, "long"),
		asm.LoadAbs(1+o, asm.Byte),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadAbs(1+o+1, asm.Byte),
		asm.Ja.Label("decode"),

		asm.JLT.Imm(asm.R7, 6+o+2, "none").WithSymbol("long"),
		asm.LoadAbs(5, asm.Byte),
		asm.JLT.Imm(asm.R0, o+2, "none"),
		asm.LoadAbs(6+o, asm.Byte),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadAbs(6+o+1, asm.Byte),

		asm.Xor.Reg(asm.R0, asm.R8).WithSymbol("decode"),
		asm.Xor.Imm(asm.R0, int32(s.Mask)),
		asm.Mod.Imm(asm.R0, int32(s.Workers)),
		asm.Return(),

		asm.Mov.Imm(asm.R0, noSocket).WithSymbol("none"),
		asm.Return(),
	}
}

// attachCBPF attaches the same program in classic BPF, which any process may.
func attachCBPF(fd int, s connid.Steering) error {
	raw, err := bpf.Assemble(steerCBPF(s))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog)
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", err)
}

// steerCBPF is steerEBPF instruction by instruction. Jumps count the
// instructions they skip.
func steerCBPF(s connid.Steering) []bpf.Instruction {
	o := uint32(s.Offset)
	none := bpf.RetConstant{Val: 1<<32 - 1}
	return []bpf.Instruction{
		/* 0*/ bpf.LoadExtension{Num: bpf.ExtLen},
		/* 1*/ bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 1 + o + 2, SkipTrue: 1},
		/* 2*/ none,
		/* 3*/ bpf.LoadAbsolute{Off: 0, Size: 1},
		/* 4*/ bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x80, SkipTrue: 4},
		/* 5*/ bpf.LoadAbsolute{Off: 1 + o, Size: 1},
		/* 6*/ bpf.TAX{},
		/* 7*/ bpf.LoadAbsolute{Off: 1 + o + 1, Size: 1},
		/* 8*/ bpf.Jump{Skip: 9},

		/* 9*/ bpf.LoadExtension{Num: bpf.ExtLen},
		/*10*/ bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 6 + o + 2, SkipTrue: 1},
		/*11*/ none,
		/*12*/ bpf.LoadAbsolute{Off: 5, Size: 1},
		/*13*/ bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: o + 2, SkipTrue: 1},
		/*14*/ none,
		/*15*/ bpf.LoadAbsolute{Off: 6 + o, Size: 1},
		/*16*/ bpf.TAX{},
		/*17*/ bpf.LoadAbsolute{Off: 6 + o + 1, Size: 1},

		/*18*/ bpf.ALUOpX{Op: bpf.ALUOpXor},
		/*19*/ bpf.ALUOpConstant{Op: bpf.ALUOpXor, Val: uint32(s.Mask)},
		/*20*/ bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(s.Workers)},
		/*21*/ bpf.RetA{},
	}
}
