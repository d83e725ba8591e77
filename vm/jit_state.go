package vm

// jitState is the compiled engine's part of a state.
type jitState struct{}
