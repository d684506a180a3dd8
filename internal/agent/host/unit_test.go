package host

import "testing"

// TestWhatAUnitSays: its own words, or else how it ended, as journalctl prints
// them; a message that is no text is left out.
func TestWhatAUnitSays(t *testing.T) {
	const begun = `{"MESSAGE":"Starting db.service...","_PID":"1"}` + "\n"
	const ended = `{"MESSAGE":"db.service: Main process exited, code=killed, status=9/KILL","_PID":"1"}` + "\n" + `{"MESSAGE":"Failed to start db.service.","_PID":"1"}` + "\n"
	for want, log := range map[string]string{
		"": "",
		"db.service: Main process exited, code=killed, status=9/KILL": begun + ended,
		"the disk is not mounted":                                     begun + `{"MESSAGE":"the disk is not mounted","_PID":"7"}` + "\n" + ended,
		"b\nc":                                                        `{"MESSAGE":"a","_PID":"7"}` + "\n" + `{"MESSAGE":"b","_PID":"7"}` + "\n" + `{"MESSAGE":[255,254],"_PID":"7"}` + "\n" + `{"MESSAGE":"c","_PID":"8"}` + "\n" + ended,
	} {
		if got := unitSaid(log); got != want {
			t.Errorf("%q and not %q", got, want)
		}
	}
	const systemctl = "Job for db.service failed because the control process exited with error code.\nSee \"systemctl status db.service\" and \"journalctl -xeu db.service\" for details.\n"
	if got := unitFailed(systemctl + "the disk is not mounted"); got != "Job for db.service failed because the control process exited with error code.; the disk is not mounted" {
		t.Errorf("%q", got)
	}
}
