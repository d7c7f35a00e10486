//! The lab itself: what other tests rely on.

use posthouse_tests::lab::{self, AdLab, AdminOp};

#[test]
fn a_user_of_the_lab_gets_a_ticket_for_the_mail_service() {
    lab::run(|lab| async move {
        let ccache = lab.kinit("alice").await?;
        let output = lab
            .exec("mail", "kvno")
            .arg(format!("imap/{}", lab.mail_host))
            .env("KRB5CCNAME", &ccache)
            .output()
            .await?;
        assert!(output.status.success(), "{output:?}");
        let other_suffix = lab.kinit("heidi").await?;
        assert_ne!(ccache, other_suffix);
        let bad = lab.kinit_with("alice", "wrong").await;
        assert!(bad.is_err(), "a wrong password got a ticket");
        Ok(())
    });
}

#[test]
fn commands_in_the_mail_host_keep_their_pid_and_end_with_the_lab() {
    lab::run(|lab| async move {
        let mut command = lab.exec("mail", "sleep");
        command.arg("1000").kill_on_drop(false);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| anyhow::anyhow!("no pid"))?;
        let name = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        while !name().starts_with("sleep") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let folder = lab.folder.clone();
        drop(lab);
        let status =
            tokio::time::timeout(std::time::Duration::from_secs(5), child.wait()).await??;
        assert!(!status.success());
        assert!(!folder.exists());
        Ok(())
    });
}

#[test]
fn two_labs_run_beside_each_other_and_are_changed_apart() {
    let other = AdLab::start_blocking().unwrap();
    lab::run(move |lab| async move {
        lab.admin(&[AdminOp::SetPassword {
            name: "alice".into(),
            password: "Another-Pass-1".into(),
        }])
        .await?;
        lab.kinit_with("alice", "Another-Pass-1").await?;
        assert!(lab.kinit("alice").await.is_err());
        other.kinit("alice").await?;
        lab.dc_stop().await?;
        assert!(lab.kinit("bob").await.is_err());
        lab.dc_start().await?;
        lab.kinit("bob").await?;
        Ok(())
    });
}
