package protoops

// An Anchor says where a pluglet attaches to an operation.
type Anchor uint8

const (
	// Replace runs instead of the native body; at most one pluglet per operation.
	Replace Anchor = iota
	// Pre runs before the body and only observes.
	Pre
	// Post runs after the body, sees its results and only observes.
	Post
	// Extern is the body of a new operation that the application alone calls.
	Extern

	numAnchors
)

var anchorNames = [numAnchors]string{"replace", "pre", "post", "extern"}

// String returns the anchor's name as section names spell it.
func (a Anchor) String() string {
	if a.valid() {
		return anchorNames[a]
	}
	return "invalid anchor"
}

// ReadOnly reports whether a pluglet at a only observes.
func (a Anchor) ReadOnly() bool { return a == Pre || a == Post }

func (a Anchor) valid() bool { return a < numAnchors }

func parseAnchor(s string) (Anchor, bool) {
	for i, name := range anchorNames {
		if s == name {
			return Anchor(i), true
		}
	}
	return 0, false
}
