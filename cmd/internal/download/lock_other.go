//go:build !unix

package download

import "os"

const renamesOpenFiles = false

// lock does nothing: the systems differ too much.
func lock(*os.File) bool { return true }
