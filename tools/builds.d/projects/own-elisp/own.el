;;; own.el --- says when it was compiled  -*- lexical-binding: t -*-
;;; Code:
(defconst own-compiled (eval-when-compile (format-time-string "%F %T")) "When.")
(defun own-say () "Say it." (interactive) (message "%s %s" own-compiled (eval-when-compile (system-name))))
(provide 'own)
;;; own.el ends here
