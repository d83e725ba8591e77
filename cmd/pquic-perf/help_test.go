package main

import (
	"testing"

	"github.com/pquic-go/pquic/cmd/internal/cmdtest"
)

func TestHelp(t *testing.T) {
	cmdtest.Help(t, app(), "help.txt", "--help")
	cmdtest.Help(t, app(), "help-server.txt", "server", "--help")
	cmdtest.Help(t, app(), "help-client.txt", "client", "--help")
}
