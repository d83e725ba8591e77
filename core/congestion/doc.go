// Package congestion decides how much may be in flight on a path and how fast
// it is sent.
// https://www.rfc-editor.org/rfc/rfc9002#section-7
//
//	controller.go  the contract: View, Ack, Loss, Controller, New
//	rate.go        the delivery-rate sampler
//	newreno.go     RFC 9002, Appendix B
//	cubic.go       RFC 9438; its window function in cubic_window.go
//	hystart.go     HyStart++, RFC 9406: leaving slow start before it overflows
//	bbr*.go        BBR version 3, draft-ietf-ccwg-bbr
//
// Where this departs from what the RFCs recommend, with the reasons beside the
// code: the initial window is 32 datagrams (InitialWindowPackets), CUBIC keeps
// up to 0.85 of its window when the RTT shows no queue (cubic.backoff), HyStart++
// judges the newest samples of a round (hystart), and the threshold for leaving
// slow start never goes below 4 ms.
//
// What everyone needs to see of a controller stands in a View, which its path
// owns. The controller's private state hides behind the Controller interface.
package congestion
