package main

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/pquic-go/pquic/plugins/monitoring"
)

//go:embed flows.html
var flowsPage []byte

// handleFlows adds the page that plots connections, and what it reads.
func (a *adminServer) handleFlows(mux *http.ServeMux) {
	mux.HandleFunc("GET /flows", a.flows)
	mux.HandleFunc("GET /flows.json", a.flowSamples)
}

func (a *adminServer) flows(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
	_, _ = w.Write(flowsPage) // whoever asked may be gone
}

// flowSamples answers with what is newer than ?since=N, the number that the
// answer before ended with.
func (a *adminServer) flowSamples(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(r.FormValue("since"), 10, 64)
	if err != nil && r.FormValue("since") != "" {
		http.Error(w, "since: want a number", http.StatusBadRequest)
		return
	}
	view := monitoring.View{Flows: []monitoring.FlowView{}}
	if f := a.s.setup.Flows; f != nil && f.History != nil {
		view = f.History.Since(since)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(view) // whoever asked may be gone
}
