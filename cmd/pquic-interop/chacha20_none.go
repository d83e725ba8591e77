//go:build nocipherchoice

package main

const canChooseCipherSuite = false

func offerOnlyChaCha20() {}
