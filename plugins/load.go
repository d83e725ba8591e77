package plugins

import (
	"errors"
	"fmt"
	"os"

	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

// maxFile bounds the ELF file of a plugin.
const maxFile = 8 << 20

// callBuffer is how many bytes a call can hand to a pluglet: the largest UDP
// payload. What is not used is not committed.
const callBuffer = 1 << 16

// LoadOptions say how to load a plugin. The zero value is the default.
type LoadOptions struct {
	// Engine that runs the bytecode: auto, interp, jit or ubpf. "" is auto.
	Engine string
	// Fuel a pluglet may spend per call, in instructions; 0 means 1 << 20.
	Fuel uint64
}

// A Plugin is a loaded, verified and compiled plugin. It does not change and
// serves any number of connections on all goroutines.
type Plugin struct {
	manifest *Manifest
	object   *vm.Object
	module   *vm.Module
	verdicts []vm.Verdict
	programs []program
}

// A program is what is known of one pluglet of a plugin before it is attached.
type program struct {
	Section
	section string
	name    string
	prog    *vm.Prog
	context *Context
	use     contextUse
}

// LoadFile loads a plugin from a file. Errors are *LoadError.
func LoadFile(path string, opt LoadOptions) (*Plugin, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("file of %d bytes, at most %d", info.Size(), maxFile)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, &LoadError{File: path, Err: err}
	}
	return Load(path, b, opt)
}

// Load reads a plugin from the ELF object elf: file is its name in errors. It
// verifies the code, holds it to its manifest and compiles it. Errors are
// *LoadError; what they wrap says which section, function or capability is at
// fault.
func Load(file string, elf []byte, opt LoadOptions) (*Plugin, error) {
	p := new(Plugin)
	if err := p.load(file, elf, opt); err != nil {
		e := &LoadError{File: file, Err: err}
		if p.manifest != nil {
			e.Plugin = p.manifest.Name
		}
		return nil, e
	}
	return p, nil
}

func (p *Plugin) load(file string, elf []byte, opt LoadOptions) (err error) {
	env := environment()
	if p.object, err = vm.Load(file, elf, env); err != nil {
		return err
	}
	meta, ok := p.object.Meta[manifestSection]
	if !ok {
		return errors.New("no manifest: the source needs PQ_PLUGIN(name, version)")
	}
	if p.manifest, err = ParseManifest(meta); err != nil {
		return err
	}
	if err := findOptions(p.object, p.manifest); err != nil {
		return err
	}
	p.module, err = vm.Compile(p.object, env, vm.Options{Engine: opt.Engine, Fuel: opt.Fuel, MaxArena: maxHeap + 2<<20, CallBuffer: callBuffer})
	if err != nil {
		return err
	}
	p.verdicts = p.module.Report()
	if err := p.findPrograms(); err != nil {
		p.Release()
		return err
	}
	if err := p.checkCapabilities(); err != nil {
		p.Release()
		return err
	}
	return nil
}

// findPrograms finds out where each program attaches and what it uses.
func (p *Plugin) findPrograms() error {
	if len(p.object.Programs) == 0 {
		return errors.New("no pluglets: no function is in a section such as SEC(\"post/packet_sealed\")")
	}
	seen := make(map[Section]string)
	for i, o := range p.object.Programs {
		s, err := parseSection(o.Section)
		if err != nil {
			return err
		}
		if other, dup := seen[s]; dup {
			return fmt.Errorf("functions %s and %s are both in section %q", other, o.Name, o.Section)
		}
		seen[s] = o.Name
		prog, ok := p.module.Program(o.Section)
		if !ok {
			return fmt.Errorf("section %q has no program", o.Section)
		}
		x := contextOf(s.Key.Name)
		p.programs = append(p.programs, program{Section: s, section: o.Section, name: o.Name, prog: prog, context: x, use: x.use(s, &p.verdicts[i])})
	}
	return nil
}

// Manifest returns what the plugin says of itself; not to be changed.
func (p *Plugin) Manifest() *Manifest { return p.manifest }

// Name returns the plugin's name.
func (p *Plugin) Name() string { return p.manifest.Name }

// Object returns the program file, for tools.
func (p *Plugin) Object() *vm.Object { return p.object }

// Report returns the verifier's verdict on each pluglet.
func (p *Plugin) Report() []vm.Verdict { return p.verdicts }

// Engine returns the name of the engine that runs the plugin.
func (p *Plugin) Engine() string { return p.module.Engine() }

// Release gives the compiled code back once the last connection that uses it is
// gone. The plugin must not be attached any more.
func (p *Plugin) Release() { p.module.Release() }

// A PlugletInfo says where a pluglet attaches.
type PlugletInfo struct {
	Section  string
	Function string
	Anchor   protoops.Anchor
	Key      protoops.Key
	Context  string // C name of its argument's struct
}

// Pluglets lists the pluglets in the order of the file.
func (p *Plugin) Pluglets() []PlugletInfo {
	var list []PlugletInfo
	for i := range p.programs {
		g := &p.programs[i]
		list = append(list, PlugletInfo{g.section, g.name, g.Anchor, g.Key, g.context.CName()})
	}
	return list
}
