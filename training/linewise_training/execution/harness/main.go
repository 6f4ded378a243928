// Calls the program's main, under the name that it was given for this run, and writes the mark when it returns.
package main

import (
	RENAMEDio "io"
	RENAMEDos "os"
)

var RENAMEDmark, _ = RENAMEDio.ReadAll(RENAMEDos.Stdin)

func main() {
	RENAMEDmain()
	RENAMEDos.NewFile(3, "channel").Write(RENAMEDmark)
}
